import { SecretNotFound } from '../errors/store-errors';
import {
  type CallContext,
  type Precondition,
  type Secret,
  type SecretScope,
  secretBytes,
  type ScopeUsage,
  type Usage,
} from './secret';

/** The result of retrieve(). */
export interface RetrievedSecret {
  readonly secret: Secret;
  /** The age of an answer that was served from memory, since the store did not answer in time; absent if the store answered. */
  readonly staleForMs?: number;
}

/** The result of list(). */
export interface ListedSecrets {
  /** By name ascending by UTF-16 code unit; [] for an unknown scope. */
  readonly secrets: readonly Secret[];
  /** As in RetrievedSecret. */
  readonly staleForMs?: number;
  /** Names that exist and are missing in `secrets`, since their values cannot be read; present if there are any. */
  readonly unreadable?: readonly string[];
}

/**
 * Stores secrets by scope and name. Every implementation and every decorator passes describeSecretStore().
 *
 * Names and scope fields compare byte for byte: 'Key' is not 'key'.
 * Values are opaque, well-formed text, '' included, at most MAX_VALUE_BYTES; they come back unchanged.
 * A resolved write is visible to the next read; of two creates of one name exactly one resolves.
 * A precondition is checked against what the store itself has, and no other write of the scope comes between it and the write.
 * Any method may throw StoreUnavailable (503) or TooManyRequests (429), and a write StoreOutcomeUnknown (503) or ApprovalRequired (409);
 * a call whose context is aborted throws the reason of that, and a write then changed nothing;
 * no error carries a value or a credential, not even in `cause`.
 * The writes of one scope are carried out, and answered, one after the other. The cache and the quotas rely on this order.
 */
export abstract class SecretStore {
  /** Makes the scope if needed. @throws SecretAlreadyExists, and then keeps the old value */
  abstract create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void>;
  /** @throws SecretNotFound, also when the scope is unknown */
  abstract retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret>;
  /** @throws SecretNotFound; never creates */
  abstract update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void>;
  /** @throws SecretNotFound, also for a second delete of the same name */
  abstract delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void>;
  abstract list(scope: SecretScope, context: CallContext): Promise<ListedSecrets>;
  /** Resolves when the backend answers and accepts our credential; readiness asks this. */
  abstract ping(): Promise<void>;
  /** Closes files and connections; no call follows. */
  abstract close(): Promise<void>;
}

/** The result of readScope(): the whole scope if the store lists, or else the one name alone. */
export interface ScopeContents {
  readonly whole: boolean;
  /** The readable secrets, by name ascending by UTF-16 code unit. */
  readonly secrets: readonly Secret[];
  /** Names that exist and cannot be read; a retrieve says why. */
  readonly unreadable: ReadonlySet<string>;
  /** Present if the store can say later whether the scope has changed since. */
  readonly revision?: string;
}

/** What a cache needs of a store. */
export interface ScopeSource {
  /**
   * Reads what a cache may keep when it needs one name. A missing name is no error here.
   * @param ifRevision a revision of the whole scope: while it is current, the answer may be 'unchanged'
   */
  readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    context: CallContext,
  ): Promise<ScopeContents | 'unchanged'>;
}

/** What quotas need of a store. */
export interface UsageSource {
  /** Returns how much the secrets of a scope take, unreadable ones included as far as the store knows them. */
  measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage>;
  /** Returns the size of one secret in bytes; undefined if there is none. */
  sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined>;
  /** Returns how much all secrets of a user take; undefined for a store that cannot know it without asking scope by scope. */
  measureUser(user: string, context: CallContext): Promise<Usage | undefined>;
  /** @throws InvalidRequest for a name that no secret of this store can have */
  requireName(name: string): void;
}

/** What removing a user needs of a store: the store's own, opaque ids. A workspace that is made again under the same names has another one. */
export abstract class UserWorkspaces {
  /** Returns the ids of all workspaces of exactly this user, in no order; they need not contain secrets. */
  abstract workspacesOf(user: string, context: CallContext): Promise<readonly string[]>;
  /** Removes a workspace durably with its secrets in all environments. Resolves also when it is gone already. */
  abstract removeWorkspace(id: string, context: CallContext): Promise<void>;
}

/** Implements UsageSource.sizeOf() by a retrieve. */
export async function sizeByRetrieving(
  store: Pick<SecretStore, 'retrieve'>,
  scope: SecretScope,
  name: string,
  context: CallContext,
): Promise<number | undefined> {
  try {
    return secretBytes((await store.retrieve(scope, name, context)).secret);
  } catch (error: unknown) {
    if (error instanceof SecretNotFound) return undefined;
    throw error;
  }
}

/** The store with all that quotas and user deprovisioning need of it. Adapters and decorators implement it. */
export type CompleteSecretStore = SecretStore & UsageSource & UserWorkspaces;

/** A store that forwards every call to an inner store. A subclass overrides what it does differently. */
export abstract class SecretStoreDecorator extends SecretStore implements UsageSource, UserWorkspaces {
  constructor(protected readonly inner: CompleteSecretStore) {
    super();
  }

  create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    return this.inner.create(scope, secret, context);
  }

  retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return this.inner.retrieve(scope, name, context);
  }

  update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return this.inner.update(scope, secret, context, precondition);
  }

  delete(scope: SecretScope, name: string, context: CallContext, precondition?: Precondition): Promise<void> {
    return this.inner.delete(scope, name, context, precondition);
  }

  list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    return this.inner.list(scope, context);
  }

  measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    return this.inner.measure(scope, context);
  }

  sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    return this.inner.sizeOf(scope, name, context);
  }

  /** Needs no permit and no breaker: a store that would have to ask its backend returns undefined. */
  measureUser(user: string, context: CallContext): Promise<Usage | undefined> {
    return this.inner.measureUser(user, context);
  }

  requireName(name: string): void {
    this.inner.requireName(name);
  }

  workspacesOf(user: string, context: CallContext): Promise<readonly string[]> {
    return this.inner.workspacesOf(user, context);
  }

  removeWorkspace(id: string, context: CallContext): Promise<void> {
    return this.inner.removeWorkspace(id, context);
  }

  /** Asks whether the store itself works, not what its decorators do. */
  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
