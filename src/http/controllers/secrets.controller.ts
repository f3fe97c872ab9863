import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { Body, Controller, Post, Query, Req } from '@nestjs/common';
import type { Caller } from '../../authn/caller';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { InvalidRequest } from '../../errors/request-errors';
import { PreconditionFailed } from '../../errors/store-errors';
import type { Reloadable, Version } from '../../reloadable/reloadable';
import type { Environment, Precondition, Secret, SecretScope } from '../../secrets/secret';
import { SecretsService } from '../../secrets/secrets.service';
import { CallContexts, CurrentCaller, type ProviderRequest } from '../request/provider-request';
import { DONE, showStaleness, type Envelope } from '../answers/envelope';
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

const PURPOSE = 'olares-secret-provider entity tags';
/** Of SHA-256, in base64url: 132 bits. */
const TAG_LENGTH = 22;
/** One entity tag of a list (RFC 9110, section 8.8.3); `W/` marks a weak one. */
const ENTITY_TAG = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;
const MAX_TAGS = 16;

/**
 * Makes the `ETag` of what a caller reads, and the precondition of an `If-Match`. A tag is an HMAC of place and content, under a key that is
 * derived from the access-token key: all replicas give the same one, and it says nothing about the value. Tags of the key before are
 * accepted as long as its access tokens are.
 */
export class EntityTags {
  #key: KeyObject;

  constructor(private readonly accessTokenKey: Reloadable<Uint8Array>) {
    this.#key = derivedFrom(accessTokenKey.current());
    accessTokenKey.whenChanged((key) => (this.#key = derivedFrom(key)));
  }

  /** A large secret is hashed in a turn of its own. */
  ofSecret(scope: SecretScope, secret: Secret): string | Promise<string> {
    const key = this.#key;
    if (secret.value.length < LARGE_STEP_BYTES) return tagOfSecret(scope, secret, key);
    return quietTurn('hash', scope.user).then(() => tagOfSecret(scope, secret, key));
  }

  /** A large list is hashed in parts, so that other requests are not delayed. */
  async ofList(scope: SecretScope, secrets: readonly Secret[]): Promise<string> {
    const { user, workspace, environment } = scope;
    const hmac = createHmac('sha256', this.#key).update(
      JSON.stringify(['list', user, workspace, environment]),
    );
    let chars = 0;
    for (const { name, value } of secrets) {
      chars += value.length;
      if (chars >= LARGE_STEP_BYTES) {
        chars = 0;
        await quietTurn('hash', user);
      }
      hmac.update(`${name.length}:${name}${value.length}:`).update(value);
    }
    return `"${hmac.digest('base64url').slice(0, TAG_LENGTH)}"`;
  }

  /**
   * Returns the check that an `If-Match` asks for; undefined where there is none, or any version will do (`*`). Weak tags never match.
   * @throws InvalidRequest where the header is not `*` or a list of at most 16 entity tags
   */
  precondition(ifMatch: string | undefined, scope: SecretScope): Precondition | undefined {
    if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
    const tags = ifMatch.split(',', MAX_TAGS + 1).map((tag) => ENTITY_TAG.exec(tag.trim()));
    if (tags.length > MAX_TAGS || tags.includes(null))
      throw new InvalidRequest(
        'If-Match',
        `must be * or a list of at most ${MAX_TAGS} entity tags in quotes`,
      );
    const strong = new Set(tags.map((tag) => (tag?.[1] === undefined ? tag?.[0] : undefined)));
    return (current) => {
      const isTagged = ({ value: key }: Version<Uint8Array>): boolean =>
        strong.has(tagOfSecret(scope, current, derivedFrom(key)));
      if (!this.accessTokenKey.versions.some(isTagged)) throw new PreconditionFailed(current.name);
    };
  }
}

function derivedFrom(accessTokenKey: Uint8Array): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', accessTokenKey, '', PURPOSE, 32)));
}

/** The lengths separate the texts, so that no two places and secrets are hashed alike. */
function tagOfSecret(
  { user, workspace, environment }: SecretScope,
  { name, value }: Secret,
  key: KeyObject,
): string {
  const hmac = createHmac('sha256', key).update(JSON.stringify(['secret', user, workspace, environment]));
  hmac.update(`${name.length}:${name}${value.length}:`).update(value);
  return `"${hmac.digest('base64url').slice(0, TAG_LENGTH)}"`;
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
    return { code: 200, message: '', data: { ...secret, env } };
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
    const data = secrets.map((secret) => ({ ...secret, env }));
    return { code: 200, message: '', data, ...(unreadable !== undefined && { unreadable }) };
  }
}
