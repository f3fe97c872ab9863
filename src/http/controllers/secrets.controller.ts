import { Body, Controller, HttpCode, Post, Query, Req } from '@nestjs/common';
import { CallContexts } from '../../secrets/call-context';
import type { Caller } from '../../authn/caller';
import type { Environment } from '../../secrets/secret';
import { SecretsService } from '../../secrets/secrets.service';
import type { ProviderRequest } from '../request/provider-request';
import { CurrentCaller } from '../request/route-access';
import { DONE, ok, showStaleness, type Envelope } from '../answers/envelope';
import { ListSecretRequest, NamedSecretRequest, SecretRequest, WorkspaceQuery } from './secret-requests';

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
  ) {}

  @Post('RetrieveSecret')
  @HttpCode(200)
  async retrieve(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<SecretView>> {
    const context = this.contexts.of(request);
    const { secret, staleForMs } = await this.secrets.retrieve(
      caller,
      { workspace, environment: env },
      name,
      context,
    );
    if (staleForMs !== undefined) showStaleness(request.res, staleForMs);
    return ok({ ...secret, env });
  }

  @Post('CreateSecret')
  @HttpCode(200)
  async create(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.create(
      caller,
      { workspace, environment: env },
      { name, value },
      this.contexts.of(request),
    );
    return DONE;
  }

  @Post('UpdateSecret')
  @HttpCode(200)
  async update(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.update(
      caller,
      { workspace, environment: env },
      { name, value },
      this.contexts.of(request),
    );
    return DONE;
  }

  @Post('DeleteSecret')
  @HttpCode(200)
  async delete(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.delete(caller, { workspace, environment: env }, name, this.contexts.of(request));
    return DONE;
  }

  @Post('ListSecret')
  @HttpCode(200)
  async list(
    @CurrentCaller() caller: Caller,
    @Query() { workspace }: WorkspaceQuery,
    @Body() { env }: ListSecretRequest,
    @Req() request: ProviderRequest,
  ): Promise<ListAnswer> {
    const context = this.contexts.of(request);
    const { secrets, staleForMs, unreadable } = await this.secrets.list(
      caller,
      { workspace, environment: env },
      context,
    );
    if (staleForMs !== undefined) showStaleness(request.res, staleForMs);
    const answer = ok(secrets.map((secret) => ({ ...secret, env })));
    return unreadable === undefined ? answer : { ...answer, unreadable };
  }
}
