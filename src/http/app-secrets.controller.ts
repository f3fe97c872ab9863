import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put } from '@nestjs/common';
import type { HeldWorkspace } from '../grants/grants.service';
import { AppSecretsService, type AppPlace } from '../secrets/app-secrets.service';
import { AppSecretKeyRequest, AppSecretRequest } from './app-secret-requests';
import { CurrentUser } from './current-caller';
import { DONE, ok, type Envelope } from './envelope';
import { UserRoute } from './route-sender';

/** As today's sidecar spells it. */
interface AppSecretView {
  readonly Workspace: string;
  readonly Key: string;
}

/** What the Settings app calls for a user (contract, section 7). `:app` is the app's name. */
@Controller('admin')
@UserRoute()
export class AppSecretsController {
  constructor(private readonly secrets: AppSecretsService) {}

  @Get('permission/:app')
  permission(@CurrentUser() user: string, @Param('app') app: string): Envelope<{ permission: boolean }> {
    return ok({ permission: this.secrets.holdsGrant(user, app) });
  }

  @Get('explain/:app')
  explain(@CurrentUser() user: string, @Param('app') app: string): Envelope<readonly HeldWorkspace[]> {
    return ok(this.secrets.explain(user, app));
  }

  @Get('secret/:app')
  async names(@CurrentUser() user: string, @Param('app') app: string): Promise<Envelope<AppSecretView[]>> {
    const names = await this.secrets.names(user, app);
    return ok(names.map(({ workspace, name }) => ({ Workspace: workspace, Key: name })));
  }

  @Post('secret/:app')
  @HttpCode(200)
  async create(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.create(place(user, app, body), { name: body.Key, value: body.Value });
    return DONE;
  }

  @Put('secret/:app')
  async update(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.update(place(user, app, body), { name: body.Key, value: body.Value });
    return DONE;
  }

  @Delete('secret/:app')
  async delete(
    @CurrentUser() user: string,
    @Param('app') app: string,
    @Body() body: AppSecretKeyRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.delete(place(user, app, body), body.Key);
    return DONE;
  }
}

function place(user: string, app: string, { Workspace }: AppSecretKeyRequest): AppPlace {
  return { user, app, ...(Workspace === undefined ? {} : { workspace: Workspace }) };
}
