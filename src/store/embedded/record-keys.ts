import { createHmac, type KeyObject } from 'node:crypto';
import type { SecretScope } from '../../secrets/secret';
import { lengthPrefixed } from './length-prefixed';

const WORKSPACE = Buffer.from([2]);
const SECRET = Buffer.from([3]);

export const META_RECORD_KEY = Buffer.from([1]);
/** Half-open ranges of record keys. */
export const WORKSPACE_RECORDS = { gte: WORKSPACE, lt: SECRET };
export const ALL_RECORDS = { gte: META_RECORD_KEY, lt: Buffer.from([4]) };
export const WRAPPED_RECORDS = { start: META_RECORD_KEY, end: SECRET };

export function isSecretKey(recordKey: Buffer): boolean {
  return recordKey[0] === SECRET[0];
}

const SCOPE_BYTES = 33;
const LAST_NAME = Buffer.alloc(32, 0xff);

/** The range of the scope that the record of a secret is in. */
export function scopeRangeOf(recordKey: Buffer): { readonly gte: Buffer; readonly lte: Buffer } {
  const gte = recordKey.subarray(0, SCOPE_BYTES);
  return { gte, lte: Buffer.concat([gte, LAST_NAME]) };
}

export type WorkspaceOfUser = Pick<SecretScope, 'user' | 'workspace'>;

/**
 * Where records lie: keyed hashes, so that no name can be read from the files or guessed without the key.
 * A workspace is 2 | HMAC(user, workspace); a secret is 3 | HMAC(scope) | HMAC(scope, name); 32 bytes each.
 */
export class RecordKeys {
  constructor(private readonly indexKey: KeyObject) {}

  ofWorkspace({ user, workspace }: WorkspaceOfUser): Buffer {
    return Buffer.concat([WORKSPACE, this.hash('workspace', user, workspace)]);
  }

  ofSecret(scope: SecretScope, name: string): Buffer {
    const { user, workspace, environment } = scope;
    return Buffer.concat([this.prefixOf(scope), this.hash('secret', user, workspace, environment, name)]);
  }

  /** The range that holds the secrets of a scope, and nothing else. */
  ofScope(scope: SecretScope): { readonly gte: Buffer; readonly lte: Buffer } {
    return scopeRangeOf(this.prefixOf(scope));
  }

  private prefixOf({ user, workspace, environment }: SecretScope): Buffer {
    return Buffer.concat([SECRET, this.hash('scope', user, workspace, environment)]);
  }

  private hash(...parts: readonly string[]): Buffer {
    return createHmac('sha256', this.indexKey)
      .update(lengthPrefixed(...parts))
      .digest();
  }
}
