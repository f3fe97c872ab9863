import { setMaxListeners } from 'node:events';
import type { Deadline } from '../time/clock';
import type { SecretScope } from './secret';

/** How long a call of the store may take, and whether anybody still waits for it. */
export interface CallContext {
  /** When the call must have ended, with all that it waits for. */
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
