import { Body, Controller, Param, Post, Req } from '@nestjs/common';
import type { Caller } from '../../authn/caller';
import { type Explanation, GrantsService } from '../../authz/grants.service';
import { SECRET_OPERATIONS, type SecretOperation, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import { GrantApprovalService } from '../../authz/grant-source';
import { DONE, ok, type Envelope } from '../answers/envelope';
import { CurrentCaller, CurrentUser, type ProviderRequest, UserRoute } from '../request/provider-request';
import { IsIn, IsOptional, IsString, Matches } from './request-validation';

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
  explain(
    @CurrentCaller() caller: Caller,
    @Body() { operation, workspace }: ExplainRequest,
  ): Envelope<Explanation> {
    return ok(this.grants.explainOperation(caller, operation, workspace));
  }
}

const OPERATION = `(${SECRET_OPERATIONS.join('|')})`;
const OPERATIONS = new RegExp(`^${OPERATION}(,${OPERATION}){0,${SECRET_OPERATIONS.length - 1}}$`);
const OPERATIONS_RULE = `must be some of ${SECRET_OPERATIONS.join(',')}, separated by commas`;

class GrantRevocationRequest {
  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  workspace!: string;
}

/** The body has the fields that `GET /admin/explain/<app>` shows. */
class GrantApprovalRequest extends GrantRevocationRequest {
  @Matches(OPERATIONS, { message: OPERATIONS_RULE })
  operations!: string;
}

/** The routes by which a user, or an administrator for them, approves what an app states outside of its own workspaces. */
@Controller('admin/grants')
@UserRoute()
export class GrantApprovalsController {
  constructor(private readonly approvals: GrantApprovalService) {}

  @Post(':app/approve')
  async approve(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() { workspace, operations: stated }: GrantApprovalRequest,
    @Req() { audit }: ProviderRequest,
  ): Promise<Envelope<''>> {
    const asked = stated.split(',');
    const operations = SECRET_OPERATIONS.filter((operation) => asked.includes(operation));
    await audit?.changes();
    await this.approvals.approve({ user, app, workspace, operations });
    return DONE;
  }

  @Post(':app/revoke')
  async revoke(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() { workspace }: GrantRevocationRequest,
    @Req() { audit }: ProviderRequest,
  ): Promise<Envelope<''>> {
    await audit?.changes();
    await this.approvals.revoke({ user, app, workspace });
    return DONE;
  }
}
