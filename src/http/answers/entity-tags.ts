import { createHmac, createSecretKey, type Hmac, hkdfSync, type KeyObject } from 'node:crypto';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { InvalidRequest } from '../../errors/request-errors';
import { PreconditionFailed } from '../../errors/store-errors';
import type { Reloadable, Version } from '../../reloadable/reloadable';
import type { Precondition, Secret, SecretScope } from '../../secrets/secret';

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
  readonly #derived = new WeakMap<Uint8Array, KeyObject>();

  constructor(private readonly accessTokenKey: Reloadable<Uint8Array>) {}

  /** A large secret is hashed in a turn of its own. */
  ofSecret(scope: SecretScope, secret: Secret): string | Promise<string> {
    const key = this.accessTokenKey.current();
    if (secret.value.length < LARGE_STEP_BYTES) return this.#tagOfSecret(scope, secret, key);
    return quietTurn('hash', scope.user).then(() => this.#tagOfSecret(scope, secret, key));
  }

  /** A large list is hashed in parts, so that other requests are not delayed. */
  ofList(scope: SecretScope, secrets: readonly Secret[]): string | Promise<string> {
    const hmac = this.#begin('list', scope, this.accessTokenKey.current());
    return secrets.reduce((chars, { value }) => chars + value.length, 0) <= LARGE_STEP_BYTES
      ? tagOf(secrets.reduce(addSecret, hmac))
      : inParts(hmac, scope.user, secrets);
  }

  /**
   * Returns the check that an `If-Match` asks for; undefined where there is none, or any version will do (`*`). Weak tags never match.
   * @throws InvalidRequest where the header is not `*` or a list of at most 16 entity tags
   */
  precondition(ifMatch: string | undefined, scope: SecretScope): Precondition | undefined {
    if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
    const tags = ifMatch.split(',').map((tag) => ENTITY_TAG.exec(tag.trim()));
    if (tags.length > MAX_TAGS || tags.includes(null))
      throw new InvalidRequest(
        'If-Match',
        `must be * or a list of at most ${MAX_TAGS} entity tags in quotes`,
      );
    const strong = new Set(tags.map((tag) => (tag?.[1] === undefined ? tag?.[0] : undefined)));
    return (current) => {
      const isTagged = ({ value: key }: Version<Uint8Array>) =>
        strong.has(this.#tagOfSecret(scope, current, key));
      if (!this.accessTokenKey.versions.some(isTagged)) throw new PreconditionFailed(current.name);
    };
  }

  #tagOfSecret(scope: SecretScope, secret: Secret, key: Uint8Array): string {
    return tagOf(addSecret(this.#begin('secret', scope, key), secret));
  }

  #begin(kind: 'secret' | 'list', { user, workspace, environment }: SecretScope, key: Uint8Array): Hmac {
    let derived = this.#derived.get(key);
    if (derived === undefined) {
      derived = createSecretKey(new Uint8Array(hkdfSync('sha256', key, '', PURPOSE, 32)));
      this.#derived.set(key, derived);
    }
    return createHmac('sha256', derived).update(JSON.stringify([kind, user, workspace, environment]));
  }
}

/** The lengths separate the texts, so that no two sequences are hashed alike. */
function addSecret(hmac: Hmac, { name, value }: Secret): Hmac {
  return hmac.update(`${name.length}:${name}${value.length}:`).update(value);
}

function tagOf(hmac: Hmac): string {
  return `"${hmac.digest('base64url').slice(0, TAG_LENGTH)}"`;
}

async function inParts(hmac: Hmac, user: string, secrets: readonly Secret[]): Promise<string> {
  let chars = 0;
  for (const secret of secrets) {
    chars += secret.value.length;
    if (chars >= LARGE_STEP_BYTES) {
      chars = 0;
      await quietTurn('hash', user);
    }
    addSecret(hmac, secret);
  }
  return tagOf(hmac);
}
