import { setMaxListeners } from 'node:events';
import type { MonotonicTime } from '../time/clock';
import type { Deadline } from '../time/deadline';

/** How long a call of the store may take, and whether anybody still waits for it. */
export interface CallContext {
  /** When the call must have ended, with all that it waits for. */
  readonly deadline: Deadline;
  /**
   * Aborts, with a DomainError as its reason, when the caller has gone. A call that waits then fails with that reason, and so
   * does a read; a write that was sent is finished.
   */
  readonly signal: AbortSignal;
}

/** For work of the service itself: nobody cancels it, and the store's own time limit counts. */
export const UNATTENDED: CallContext = { deadline: { endsAtMs: Infinity }, signal: neverAborting() };

function neverAborting(): AbortSignal {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return signal;
}

/** Returns the context of work that must be finished, since a part of it was sent. */
export function uncancelled({ deadline }: CallContext): CallContext {
  return { deadline, signal: UNATTENDED.signal };
}

/** Makes the contexts of requests. */
export class CallContexts {
  /** @param timeoutMs how long the calls of one request may take */
  constructor(
    private readonly timeoutMs: number,
    private readonly time: MonotonicTime,
  ) {}

  /** The signal is asked for only by a call that waits: making one takes longer than a read from memory. */
  of(client: { readonly signal: AbortSignal }): CallContext {
    return {
      deadline: { endsAtMs: this.time.nowMs() + this.timeoutMs },
      get signal() {
        return client.signal;
      },
    };
  }
}
