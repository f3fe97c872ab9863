import { SecretNotFound } from '../errors/store-errors';
import { type Secret, type SecretScope, secretBytes, usageOf, type ScopeUsage, type Usage } from './secret';

/** Receives what a read has to say beside its result. */
export interface ReadReport {
  /** Called where the backend could not be asked and the answer is from a cache of that age. */
  servedStale(ageMs: number): void;
  /** Called with the names that exist and cannot be read, and which the list omits. Without this method such a list fails. */
  unreadable?(names: readonly string[]): void;
}

/** One workspace of one user. A workspace that is made again under the same names has another id. */
export interface StoredWorkspace {
  /** The store's own, opaque id. */
  readonly id: string;
}

/** The result of readScope(): the whole scope where the store lists, or the one name alone. */
export interface ScopeContents {
  readonly whole: boolean;
  /** The readable secrets, by name ascending by UTF-16 code unit. */
  readonly secrets: readonly Secret[];
  /** Names that exist and cannot be read; a retrieve says why. */
  readonly unreadable: ReadonlySet<string>;
  /** Present where the store can say later whether the scope has changed since. */
  readonly revision?: string;
}

/**
 * Stores secrets by scope and name. Every implementation and every decorator passes describeSecretStore().
 *
 * Names and scope fields compare byte for byte: 'Key' is not 'key'.
 * Values are opaque, well-formed text, '' included, at most MAX_VALUE_BYTES; they come back unchanged.
 * A resolved write is visible to the next read; of two creates of one name exactly one resolves.
 * Any method may throw StoreUnavailable (503) or TooManyRequests (429), and a write StoreOutcomeUnknown (503) or ApprovalRequired (409);
 * no error carries a value or a credential, not even in `cause`.
 */
export abstract class SecretStore {
  /** Makes the scope if needed. @throws SecretAlreadyExists, and then keeps the old value */
  abstract create(scope: SecretScope, secret: Secret): Promise<void>;
  /** @throws SecretNotFound, also when the scope is unknown */
  abstract retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret>;
  /** @throws SecretNotFound; never creates */
  abstract update(scope: SecretScope, secret: Secret): Promise<void>;
  /** @throws SecretNotFound, also for a second delete of the same name */
  abstract delete(scope: SecretScope, name: string): Promise<void>;
  /** Returns the secrets by name ascending by UTF-16 code unit; [] for an unknown scope. */
  abstract list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]>;
  /** Returns all workspaces of exactly this user, in no order; they need not contain secrets. */
  abstract workspacesOf(user: string): Promise<readonly StoredWorkspace[]>;
  /** Removes a workspace durably with its secrets in all environments. Resolves also when it is gone already. */
  abstract removeWorkspace(workspace: StoredWorkspace): Promise<void>;
  /** Resolves when the backend answers and accepts our credential; readiness asks this. */
  abstract ping(): Promise<void>;
  /** Closes files and connections; no call follows. */
  abstract close(): Promise<void>;

  /**
   * Reads what a cache may keep when it needs one name. A missing name is no error here.
   * @param _ifRevision a revision of the whole scope: while it is current, the answer may be 'unchanged'
   */
  async readScope(
    scope: SecretScope,
    _name: string,
    _ifRevision?: string,
  ): Promise<ScopeContents | 'unchanged'> {
    return { whole: true, secrets: await this.list(scope), unreadable: new Set() };
  }

  /** Returns how much the secrets of a scope take, unreadable ones included as far as the store knows them. */
  async measure(scope: SecretScope): Promise<ScopeUsage> {
    return usageOf(new Map((await this.list(scope)).map((secret) => [secret.name, secretBytes(secret)])));
  }

  /** Returns the size of one secret in bytes; undefined where there is none. */
  async sizeOf(scope: SecretScope, name: string): Promise<number | undefined> {
    try {
      return secretBytes(await this.retrieve(scope, name));
    } catch (error: unknown) {
      if (error instanceof SecretNotFound) return undefined;
      throw error;
    }
  }

  /** Returns how much all secrets of a user take; undefined for a store that cannot know it without asking scope by scope. */
  measureUser(_user: string): Promise<Usage | undefined> {
    return Promise.resolve(undefined);
  }

  /** @throws InvalidRequest for a name that no secret of this store can have */
  requireName(_name: string): void {}
}
