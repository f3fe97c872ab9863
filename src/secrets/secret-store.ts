import { SecretNotFound } from '../errors/store-errors';
import { type Secret, type SecretScope, secretBytes, usageOf, type ScopeUsage, type Usage } from './secret';

/** Told by a store that keeps what it read. */
export interface ReadReport {
  /** The answer is what was read so long ago: the store could not be asked whether it still holds. */
  servedStale(ageMs: number): void;
  /** The list is without these, which are there and cannot be read. A list that nobody can be told of fails instead. */
  unreadable?(names: readonly string[]): void;
}

/** One workspace of one user as it was found: one that is made anew under the same names is another one. */
export interface StoredWorkspace {
  /** The store's own; nothing can be read from it. */
  readonly id: string;
}

/** What a store found where it looked for one name: the whole scope where it lists, or that name alone. */
export interface ScopeContents {
  readonly whole: boolean;
  /** By name ascending by UTF-16 code unit, without those that cannot be read. */
  readonly secrets: readonly Secret[];
  /** Names that are there, and of which a retrieve tells why they cannot be read. */
  readonly unreadable: ReadonlySet<string>;
  /** Where the store can be asked later whether anything has changed since. */
  readonly revision?: string;
}

/**
 * Keeps secrets by scope and name. Every implementation and every wrapper passes describeSecretStore().
 *
 * Names and scope fields compare byte for byte: 'Key' is not 'key'.
 * Values are opaque, well-formed text, '' included, at most MAX_VALUE_BYTES; they come back unchanged.
 * A resolved write is visible to the next read; of two creates of one name exactly one resolves.
 * Any method may throw StoreUnavailable (503) or TooManyRequests (429), and a write StoreOutcomeUnknown (503) or ApprovalRequired (409);
 * no error carries a value or a credential, not even in `cause`.
 */
export abstract class SecretStore {
  /** Makes room for the scope if needed. @throws SecretAlreadyExists; the old value stays */
  abstract create(scope: SecretScope, secret: Secret): Promise<void>;
  /** @throws SecretNotFound, also when the scope is unknown */
  abstract retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret>;
  /** @throws SecretNotFound; never creates */
  abstract update(scope: SecretScope, secret: Secret): Promise<void>;
  /** @throws SecretNotFound; so a second delete is told apart */
  abstract delete(scope: SecretScope, name: string): Promise<void>;
  /** Name ascending by UTF-16 code unit; [] for an unknown scope. */
  abstract list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]>;
  /** All workspaces of exactly this user, in no order; [] for one that never had any. Secrets need not be left in them. */
  abstract workspacesOf(user: string): Promise<readonly StoredWorkspace[]>;
  /** With its secrets in all environments, durably. Resolves also when it is gone already; a new one can be made. */
  abstract removeWorkspace(workspace: StoredWorkspace): Promise<void>;
  /** Resolves when the backend answers and accepts our credential; readiness asks this. */
  abstract ping(): Promise<void>;
  /** Lets go of files and connections; no call follows. */
  abstract close(): Promise<void>;

  /**
   * What one look for this name shows, for those that keep it. A name that is not there is not an error here.
   * @param _known a revision that was told of the whole scope: where it still holds, the answer may be 'unchanged'
   */
  async readScope(scope: SecretScope, _name: string, _known?: string): Promise<ScopeContents | 'unchanged'> {
    return { whole: true, secrets: await this.list(scope), unreadable: new Set() };
  }

  /** What the secrets of a scope take. Those that cannot be read count as well, as far as the store can tell. */
  async measure(scope: SecretScope): Promise<ScopeUsage> {
    return usageOf(new Map((await this.list(scope)).map((secret) => [secret.name, secretBytes(secret)])));
  }

  /** What one secret takes, in bytes; undefined where there is none. */
  async sizeOf(scope: SecretScope, name: string): Promise<number | undefined> {
    try {
      return secretBytes(await this.retrieve(scope, name));
    } catch (error: unknown) {
      if (error instanceof SecretNotFound) return undefined;
      throw error;
    }
  }

  /** What all secrets of a user take; undefined for a store that could only ask for one scope after the other. */
  measureUser(_user: string): Promise<Usage | undefined> {
    return Promise.resolve(undefined);
  }

  /** @throws InvalidRequest for a name that no secret of this store can have */
  requireName(_name: string): void {}
}
