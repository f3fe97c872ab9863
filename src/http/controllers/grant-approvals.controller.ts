import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { SECRET_OPERATIONS, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import { GrantApprovalService } from '../../authz/grant-approvals';
import { DONE, type Envelope } from '../answers/envelope';
import { CurrentUser, UserRoute } from '../request/route-access';
import { Matches } from './secret-requests';

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
  @HttpCode(200)
  async approve(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() { workspace, operations: stated }: GrantApprovalRequest,
  ): Promise<Envelope<''>> {
    const asked = stated.split(',');
    const operations = SECRET_OPERATIONS.filter((operation) => asked.includes(operation));
    await this.approvals.approve({ user, app, workspace, operations });
    return DONE;
  }

  @Post(':app/revoke')
  @HttpCode(200)
  async revoke(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() { workspace }: GrantRevocationRequest,
  ): Promise<Envelope<''>> {
    await this.approvals.revoke({ user, app, workspace });
    return DONE;
  }
}
