import type { LimitsObserver } from '../../src/limits/rate-limits';
import type { InfisicalObserver } from '../../src/stores/infisical/versions/calls';
import type { StoreLoadObserver } from '../../src/stores/resilience/circuit-breaker.secret-store';
import { Telemetry } from '../../src/telemetry/telemetry.module';
import type { Spans } from '../../src/telemetry/traced';
import { eventually } from '../support/eventually';

/** Counts all that requests hold: permits, memory, places in queues, locks, calls and spans. */
export class HeldResources extends Telemetry {
  readonly #figures = new Map<string, () => number>();
  #spans = 0;
  #callsToInfisical = 0;

  constructor() {
    super();
    this.count('spans', () => this.#spans);
    this.count('calls to Infisical', () => this.#callsToInfisical);
  }

  override readonly spans: Spans = {
    during: (_name, work) => {
      const result = work();
      if (result instanceof Promise) {
        const ended = (): number => (this.#spans -= 1);
        this.#spans += 1;
        // Callers get the promise itself, as they do without traces: in a microtask more, a circuit breaker would have been closed.
        result.then(ended, ended);
      }
      return result;
    },
  };

  override readonly limits: LimitsObserver = {
    opened: (load) => {
      this.count('requests in flight', () => load().inFlight);
      this.count('bytes of bodies', () => load().bodyBytes);
      this.count('bytes of answers', () => load().answerBytes);
    },
    connectionsOpened: () => undefined,
    refused: () => undefined,
    shed: () => undefined,
  };

  override readonly storeLoad: StoreLoadObserver = {
    queueOpened: (queue) => {
      this.count('calls in the queue', () => queue().waiting);
      this.count('permits', () => queue().underWay);
    },
    permitRefused: () => undefined,
    breakerOpened: () => undefined,
    breakerBecame: () => undefined,
  };

  override readonly infisical: InfisicalObserver = {
    opened: (figures) => {
      this.count('calls to Infisical that wait', () => figures.callsWaiting());
      this.count('writes that wait for the lock of their scope', () => figures.writes().waiting);
      this.count('locks of scopes', () => figures.writes().underWay);
    },
    callBegins: () => {
      this.#callsToInfisical += 1;
      return { headers: {}, ended: () => void (this.#callsToInfisical -= 1) };
    },
    waitedForPermit: () => undefined,
    permitRefused: () => undefined,
  };

  count(what: string, read: () => number): void {
    this.#figures.set(what, read);
  }

  /** Resolves once nothing is held; clients that hung up may need a moment. @throws Error where something is never given back */
  async nothing(withinMs?: number): Promise<void> {
    await eventually(() => {
      const held = [...this.#figures]
        .map(([what, read]) => [what, read()])
        .filter(([, count]) => count !== 0);
      if (held.length > 0) throw new Error(`still held: ${JSON.stringify(held)}`);
    }, withinMs);
  }

  async listen(): Promise<undefined> {}
  async close(): Promise<void> {}
}
