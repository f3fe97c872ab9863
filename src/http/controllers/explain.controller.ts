import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import type { Caller } from '../../authn/caller';
import { SECRET_OPERATIONS, type SecretOperation, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import { type Explanation, GrantsService } from '../../authz/grants.service';
import { ok, type Envelope } from '../answers/envelope';
import { CurrentCaller } from '../request/route-access';
import { IsIn, IsOptional, IsString, Matches } from './secret-requests';

const OPERATION_RULE = `must be one of ${SECRET_OPERATIONS.join(', ')}`;

class ExplainRequest {
  @IsIn(SECRET_OPERATIONS, { message: OPERATION_RULE })
  operation!: SecretOperation;

  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  @IsString({ message: WORKSPACE_RULE })
  workspace!: string;
}

/** The query of `GET /admin/explain/<app>`: an operation and a workspace, or neither for all that the app holds. */
export class ExplainAppQuery {
  @IsOptional()
  @IsIn(SECRET_OPERATIONS, { message: OPERATION_RULE })
  operation?: SecretOperation;

  @IsOptional()
  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  @IsString({ message: 'must be given at most once' })
  workspace?: string;

  /** Read by the guard. */
  @IsOptional()
  user?: unknown;
}

/** Tells an app what decides its calls. Nothing is asked of the store, so that it says nothing about secrets. */
@Controller()
export class ExplainController {
  constructor(private readonly grants: GrantsService) {}

  @Post('explain')
  @HttpCode(200)
  explain(
    @CurrentCaller() caller: Caller,
    @Body() { operation, workspace }: ExplainRequest,
  ): Envelope<Explanation> {
    return ok(this.grants.explainOperation(caller, operation, workspace));
  }
}
