import { setMaxListeners } from 'node:events';
import type { Deadline } from '../time/clock';
/** The environments of a workspace, as Olares names them. */
export const ENVIRONMENTS = ['test', 'dev', 'staging', 'prod'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/** In UTF-16 code units, which Infisical's routes count. */
export const MAX_NAME_LENGTH = 100;
/**
 * Returns how much of MAX_NAME_LENGTH a name takes. Newer servers of Infisical refuse ':' and '/', so a name with one of them is stored
 * escaped there; it counts the same on every store, so that an app that works on one works on another.
 */
export function countedNameLength(name: string): number {
  if (!/[:/]/.test(name)) return name.length;
  return 7 + name.length + 2 * (name.match(/[:/ ~]/g)?.length ?? 0);
}

/** In UTF-8. */
export const MAX_VALUE_BYTES = 512 * 1024;

/** Control, format, surrogate, private and unassigned characters, line and paragraph separators. */
const NOT_PRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;

export function isSecretName(value: unknown): boolean {
  if (typeof value !== 'string' || value === '') return false;
  // Its own length comes first: counting reads all of a text that may be as long as a body.
  if (value.length > MAX_NAME_LENGTH || countedNameLength(value) > MAX_NAME_LENGTH) return false;
  return !NOT_PRINTABLE.test(value) && value === value.trim() && value !== '.' && value !== '..';
}

export function isSecretValue(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > MAX_VALUE_BYTES) return false;
  return value.isWellFormed() && !value.includes('\0') && Buffer.byteLength(value) <= MAX_VALUE_BYTES;
}

export const NAME_RULE =
  `must be 1-${MAX_NAME_LENGTH} printable characters, without white space at its ends, and neither "." nor ".."; ` +
  'one with "/" or ":" counts 7 more, and 2 more for each of these, each "~" and each space';
export const VALUE_RULE = `must be a string of at most ${MAX_VALUE_BYTES} bytes of UTF-8, without NUL and lone surrogates`;

/** The place of a secret. All three fields compare byte for byte. */
export interface SecretScope {
  readonly user: string;
  readonly workspace: string;
  readonly environment: Environment;
}

export interface Secret {
  readonly name: string;
  readonly value: string;
}

/** Checks the secret that a write would change or delete. @throws PreconditionFailed, and then nothing is changed */
export type Precondition = (current: Secret) => void;

/** Returns a key as JSON, so that no two scopes share a key and none is a prefix of another. */
export function scopeKeyOf({ user, workspace, environment }: SecretScope): string {
  return JSON.stringify([user, workspace, environment]);
}

/** How much secrets take of a quota. */
export interface Usage {
  readonly secrets: number;
  readonly bytes: number;
}

/** The usage of one scope. */
export interface ScopeUsage extends Usage {
  /** The sizes of single secrets in bytes by name, where the store read them anyway. */
  readonly sizes?: ReadonlyMap<string, number>;
}

/** Returns how much one secret takes: its name and its value in UTF-8. */
export function secretBytes({ name, value }: Secret): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value);
}

export function usageOf(sizes: ReadonlyMap<string, number>): ScopeUsage {
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  return { secrets: sizes.size, bytes, sizes };
}

/** How long a call of the store may take, and whether anybody still waits for it. */
export interface CallContext {
  /** Beyond it the call waits neither for another server nor for its turn at one; work of this process ends when it ends. */
  readonly deadline: Deadline;
  /** Aborts, with a DomainError, when the caller has gone: what waits then fails with it, and so does a read; a write that was sent is finished. */
  readonly signal: AbortSignal;
  /** Present where the call is of a request that is audited. */
  readonly audit?: CallAudit | undefined;
}

/** Is told what a call touches in the store, once the caller was allowed to. */
export interface CallAudit {
  reads(scope: SecretScope, name?: string): void;
  /** Resolves once the attempt is recorded. @throws AuditUnavailable (503); the write must not be sent then */
  writes(scope: SecretScope, name: string, value?: string): Promise<void>;
  /** A cache answered since the store could not be asked. */
  answeredStale(forMs: number): void;
}

const { signal: NEVER } = new AbortController();
setMaxListeners(0, NEVER);

/** For work of the service itself: nobody cancels it, and the store's own time limit counts. */
export const UNATTENDED: CallContext = { deadline: { endsAtMs: Infinity }, signal: NEVER };

/** Returns the context of work that must be finished, since a part of it was sent. */
export function uncancelled({ deadline }: CallContext): CallContext {
  return { deadline, signal: NEVER };
}
