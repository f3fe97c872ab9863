/** A deletion job in the form in which it is stored. */
export interface StoredDeletionJob {
  readonly id: string;
  /** Well-formed text of some kilobytes at most. */
  readonly text: string;
}

/**
 * Stores deletion jobs as durably as the secrets, in a place where no user's secrets are, and for all replicas. Every
 * implementation passes describeDeletionJobStorage().
 *
 * Ids are of `A-Z`, `a-z`, `0-9` and `-`, at most 100 characters. A resolved write is visible to the next list() of any replica.
 * Any method may throw StoreUnavailable (503) or TooManyRequests (429), and a write StoreOutcomeUnknown (503).
 */
export abstract class DeletionJobStorage {
  /** Returns all jobs, in no order. One that cannot be decrypted fails the list: it may be of a user who is to be removed. */
  abstract list(): Promise<readonly StoredDeletionJob[]>;
  /** Stores a job. Where there is one of that id already, it is kept, so that a repeated create harms nothing. */
  abstract create(job: StoredDeletionJob): Promise<void>;
  /** Replaces a job. Where there is none of that id, none is made: another replica may have deleted it. */
  abstract update(job: StoredDeletionJob): Promise<void>;
  /** Resolves also where there is no job of that id. */
  abstract delete(id: string): Promise<void>;
}
