import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../src/config/settings';
import type { ScopeSource, CompleteSecretStore } from '../../src/secrets/secret-store';
import { EmbeddedSecretStore } from '../../src/stores/embedded/embedded.secret-store';
import { createInfisicalSecretStore } from '../support/infisical-store';
import type { InfisicalObserver } from '../../src/stores/infisical/versions/calls';
import type { Clock, MonotonicTime } from '../../src/time/clock';
import type { Fault } from '../support/fake-infisical/fake-faults';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { MemorySecretStore } from '../support/memory.secret-store';
import { TEST_SETTINGS } from '../support/service';
import { STORE_FAULTS, type StoreFault } from './spied.secret-store';

interface BackendDeps {
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly observer: InfisicalObserver;
}

/** Where secrets are kept; it outlives the processes that open it. */
export interface ModelledBackend {
  /** Chooses the decorators: those of Infisical with a cache, or those of the embedded store. */
  readonly store: Settings['store'];
  /** Faults of the backend itself, by number; where there are none, the spy fails its calls. */
  readonly faults: number;
  open(deps: BackendDeps): Promise<CompleteSecretStore & Partial<ScopeSource>>;
  fail(fault: number): void;
  heal(): void;
  remove(): Promise<void>;
}

/** The decorators of Infisical: quotas, cache, circuit breaker, concurrency limit. */
const INFISICAL = { kind: 'infisical', url: 'http://unused', clientId: '', clientSecret: '', timeoutMs: 20_000 } as const; // prettier-ignore
const CACHE = { ttlMs: 2_000, maxStaleMs: 60_000, maxEntries: 100, maxBytes: 1_000_000 };
const INFISICAL_DECORATORS = { ...INFISICAL, cache: CACHE };
const NO_FAULTS = { faults: 0, fail: () => undefined, heal: () => undefined };

/** @param decorators the store of the settings that choose them */
export async function memoryBackend(
  store = new MemorySecretStore(),
  decorators: Settings['store'] = INFISICAL_DECORATORS,
): Promise<ModelledBackend> {
  return {
    ...NO_FAULTS,
    store: decorators,
    open: async () => {
      store.calls.length = 0;
      return store;
    },
    remove: async () => undefined,
  };
}

export async function embeddedBackend(): Promise<ModelledBackend> {
  const dataDir = mkdtempSync(join(tmpdir(), 'model-'));
  const masterKey = new Uint8Array(32).fill(7);
  return {
    ...NO_FAULTS,
    store: TEST_SETTINGS.store,
    open: () => EmbeddedSecretStore.open({ dataDir, masterKey, maxDiskReserveBytes: 0 }),
    remove: async () => rmSync(dataDir, { recursive: true }),
  };
}

const answer = (status: number, headers = {}): Fault => ({ kind: 'answer', status, headers, body: { statusCode: status, error: 'Planned', message: 'planned' } }); // prettier-ignore
const SERVER_FAULTS: readonly Fault[] = [
  { kind: 'reset', when: 'before' },
  { kind: 'reset', when: 'after' },
  { kind: 'truncate', when: 'after' },
  { kind: 'resetInBody', when: 'before' },
  answer(500),
  answer(503),
  answer(429, { 'retry-after': '59' }),
];

/** @param cache whether reads are cached */
export async function infisicalBackend(
  apiVersion: 'fork' | 'v3' | 'v4',
  cache = true,
): Promise<ModelledBackend> {
  const fake = await FakeInfisical.start({ apiVersion });
  const { clientId, clientSecret } = fake.identity;
  const options = { url: fake.url, clientId, clientSecret, apiVersion };
  return {
    store: { ...INFISICAL, ...(cache && { cache: CACHE }) },
    faults: SERVER_FAULTS.length,
    open: async ({ clock, time, observer }) =>
      createInfisicalSecretStore({ ...options, observer }, clock, () => undefined, time),
    fail: (at) => fake.fail({ times: 1_000_000, fault: SERVER_FAULTS[at] ?? answer(500) }),
    heal: () => {
      fake.heal();
      fake.calls.length = 0;
    },
    remove: () => fake.close(),
  };
}

/** Returns the fault of the spy where the backend has none of its own. */
export function spiedFault(at: number): StoreFault {
  return STORE_FAULTS[at % STORE_FAULTS.length] ?? 'unavailable';
}
