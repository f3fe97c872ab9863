import { Body, Controller, Delete, Get, Param, Post, Put, Query, Req } from '@nestjs/common';
import { APP_NAME_RULE, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import { IsOptional, IsSecretName, IsSecretValue, Matches } from './request-validation';
import type { HeldWorkspace } from '../../authz/grants.service';
import { InvalidRequest } from '../../errors/request-errors';
import {
  type AppExplanation,
  AppSecretsService,
  type AppSecretLocation,
} from '../../secrets/secrets.service';
import { CallContexts, CurrentUser, type ProviderRequest, UserRoute } from '../request/provider-request';
import { DONE, ok, showStaleness, type Envelope } from '../answers/envelope';
import { ExplainAppQuery } from './grants.controller';

/** An app's name, or the `namespace:name` of one of the system's own callers. */
const CALLER_NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$/;

/** The body of a delete: `{Key}`; our `Workspace` is for apps that hold grants on several. */
class AppSecretKeyRequest {
  @IsSecretName()
  Key!: string;

  @IsOptional()
  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  Workspace?: string;
}

/** The body of a create and an update: `{Key, Value}`. */
class AppSecretRequest extends AppSecretKeyRequest {
  @IsSecretValue()
  Value!: string;
}

/** The routes of the Settings app, which calls them for a user (contract, section 7). `:app` is the app's name. */
@Controller('admin')
@UserRoute()
export class AppSecretsController {
  constructor(
    private readonly secrets: AppSecretsService,
    private readonly contexts: CallContexts,
  ) {}

  @Get('permission/:app')
  permission(@CurrentUser() user: string, @Param('app') app: string): Envelope<{ permission: boolean }> {
    return ok({ permission: this.secrets.holdsGrant(user, app) });
  }

  @Get('explain/:app')
  explain(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Query() { operation, workspace }: ExplainAppQuery,
  ): Envelope<readonly HeldWorkspace[] | AppExplanation> {
    if (operation === undefined && workspace === undefined) return ok(this.secrets.explain(user, app));
    if (operation === undefined) throw new InvalidRequest('operation', 'must be given with workspace');
    if (workspace === undefined) throw new InvalidRequest('workspace', 'must be given with operation');
    if (!CALLER_NAME.test(app)) throw new InvalidRequest('app', APP_NAME_RULE);
    return ok(this.secrets.explainOperation(user, app, operation, workspace));
  }

  /** The fields are spelled as today's sidecar spells them. */
  @Get('secret/:app')
  async names(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<{ Workspace: string; Key: string }[]>> {
    const { names, staleForMs } = await this.secrets.names(user, app, this.contexts.of(request));
    if (staleForMs !== undefined) showStaleness(request.res, staleForMs);
    return ok(names.map(({ workspace, name }) => ({ Workspace: workspace, Key: name })));
  }

  @Post('secret/:app')
  async create(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    const secret = { name: body.Key, value: body.Value };
    await this.secrets.create(locationOf(user, app, body), secret, this.contexts.of(request));
    return DONE;
  }

  @Put('secret/:app')
  async update(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    const secret = { name: body.Key, value: body.Value };
    await this.secrets.update(locationOf(user, app, body), secret, this.contexts.of(request));
    return DONE;
  }

  @Delete('secret/:app')
  async delete(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretKeyRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.delete(locationOf(user, app, body), body.Key, this.contexts.of(request));
    return DONE;
  }
}

function locationOf(user: string, app: string, { Workspace }: AppSecretKeyRequest): AppSecretLocation {
  // A null is as good as none, as for all fields that may be missing.
  return { user, app, ...(typeof Workspace === 'string' && { workspace: Workspace }) };
}
