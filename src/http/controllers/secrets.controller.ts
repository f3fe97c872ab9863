import { Body, Controller, Post, Query, Req } from '@nestjs/common';
import { CallContexts } from '../../secrets/call-context';
import type { Caller } from '../../authn/caller';
import type { Environment } from '../../secrets/secret';
import { SecretsService } from '../../secrets/secrets.service';
import { type ProviderRequest, CurrentCaller } from '../request/provider-request';
import { EntityTags } from '../answers/entity-tags';
import { DONE, ok, showStaleness, type Envelope } from '../answers/envelope';
import { ListSecretRequest, NamedSecretRequest, SecretRequest, WorkspaceQuery } from './request-validation';

/** A secret as the contract shows it; `env` is the effective one, also where the request left it out. */
interface SecretView {
  readonly name: string;
  readonly value: string;
  readonly env: Environment;
}

/** A list, and the names that are missing in it since the store cannot show their values. */
interface ListAnswer extends Envelope<readonly SecretView[]> {
  readonly unreadable?: readonly string[];
}

/** The five operations of the provider API. */
@Controller()
export class SecretsController {
  constructor(
    private readonly secrets: SecretsService,
    private readonly contexts: CallContexts,
    private readonly tags: EntityTags,
  ) {}

  @Post('RetrieveSecret')
  async retrieve(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<SecretView>> {
    const scope = { user: caller.user, workspace, environment: env };
    const context = this.contexts.of(request);
    const { secret, staleForMs } = await this.secrets.retrieve(caller, scope, name, context);
    if (staleForMs !== undefined) showStaleness(request.res, staleForMs);
    request.res?.setHeader('ETag', await this.tags.ofSecret(scope, secret));
    return ok({ ...secret, env });
  }

  @Post('CreateSecret')
  async create(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    const at = { workspace, environment: env };
    await this.secrets.create(caller, at, { name, value }, this.contexts.of(request));
    return DONE;
  }

  @Post('UpdateSecret')
  async update(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    const scope = { user: caller.user, workspace, environment: env };
    const precondition = this.tags.precondition(request.headers['if-match'], scope);
    await this.secrets.update(caller, scope, { name, value }, this.contexts.of(request), precondition);
    return DONE;
  }

  @Post('DeleteSecret')
  async delete(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    const scope = { user: caller.user, workspace, environment: env };
    const precondition = this.tags.precondition(request.headers['if-match'], scope);
    await this.secrets.delete(caller, scope, name, this.contexts.of(request), precondition);
    return DONE;
  }

  @Post('ListSecret')
  async list(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { env }: ListSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<ListAnswer> {
    const scope = { user: caller.user, workspace, environment: env };
    const context = this.contexts.of(request);
    const { secrets, staleForMs, unreadable } = await this.secrets.list(caller, scope, context);
    if (staleForMs !== undefined) showStaleness(request.res, staleForMs);
    request.res?.setHeader('ETag', await this.tags.ofList(scope, secrets));
    const answer = ok(secrets.map((secret) => ({ ...secret, env })));
    return unreadable === undefined ? answer : { ...answer, unreadable };
  }
}
