import { eventually } from '../support/eventually';
import fc from '../support/fast-check';
import { exchange, textOf } from './exchange';
import { FuzzedService, openDescriptors, type Setup } from './fuzzed-service';
import { rendered, type SentRequest } from './fuzzed-request';
import { Oracle } from './oracle';
import { acceptedRequests, type ConnectionSpec, connections } from './request-arbitraries';

/** Connections that are open at the same time; what is held is compared after each batch, and a difference shrunk to its case. */
const MAX_CONNECTIONS = 64;
const RUNS = 8;
/** How long a resource may take to come back: what leaks never does, and a loaded machine needs some time. */
const PATIENCE_MS = 60_000;
/** The same, while the smallest case is looked for. */
const SHRINKING_PATIENCE_MS = 2_000;
const SHRINKING_MS = 120_000;
const METRICS_STATUSES = new Set([100, 200, 400, 404, 413, 417, 431]);

export interface Figures {
  cases: number;
  connections: number;
  /** Those of the service, each with its method. */
  routes: readonly string[];
  readonly successes: Map<string, number>;
  readonly reasons: Map<string, number>;
}

interface Planned {
  readonly spec: ConnectionSpec;
  readonly from: string;
  readonly sent: readonly SentRequest[];
}

/** Starts a service, does the work with it, and stops it; whatever is held or shown then is a fault. @throws Error */
async function withService(
  setup: Setup,
  figures: Figures,
  work: (run: FuzzRun) => Promise<void>,
): Promise<void> {
  const descriptors = openDescriptors();
  const service = await FuzzedService.start(setup);
  const run = new FuzzRun(service);
  let faults: readonly string[];
  try {
    await run.fill();
    await work(run);
  } finally {
    faults = await service.close();
    figures.cases += run.cases;
    figures.routes = service.routes.map(({ method, path }) => `${method} ${path}`);
    figures.connections += run.connections;
    for (const key of ['successes', 'reasons'] as const)
      for (const [name, count] of run.oracle.coverage[key])
        figures[key].set(name, (figures[key].get(name) ?? 0) + count);
  }
  if (faults.length > 0) throw new Error(faults.slice(0, 5).join('\n'));
  await eventually(() => {
    const left = openDescriptors();
    if ((left ?? 0) > (descriptors ?? 0))
      throw new Error(`${left} descriptors are open, ${descriptors} were before`);
  });
}

/** Sends so many requests to a service of its own. @throws an Error with the smallest batch that breaks a rule, and the seed */
export function fuzz(setup: Setup, cases: number, seed: number, figures: Figures): Promise<void> {
  return withService(setup, figures, async (run) => {
    const { routes, credentials } = run.service;
    const batch = fc.array(connections(routes, credentials), { minLength: 1, maxLength: MAX_CONNECTIONS, size: 'max' }); // prettier-ignore
    for (let at = 0; run.cases < cases; at += 1) {
      const property = fc.asyncProperty(batch, async (specs) => {
        const found = await run.batch(specs);
        if (found.length > 0) throw new Error([...new Set(found)].slice(0, 5).join('\n'));
      });
      const outcome = await fc.check(property, {
        seed: seed + at,
        numRuns: RUNS,
        interruptAfterTimeLimit: SHRINKING_MS,
      });
      if (outcome.failed) throw new Error(run.describe(outcome));
    }
  });
}

/** Goes away behind every so many bytes of a request to each route, and behind its last one. @throws an Error with the place */
export function closeEarly(setup: Setup, step: number, figures: Figures): Promise<void> {
  return withService(setup, figures, async (run) => {
    const specs = acceptedRequests(run.service.routes, run.service.credentials).flatMap((request) => {
      const { length } = rendered(request, 'q', 'mk_0_').bytes;
      return Array.from({ length: Math.ceil(length / step) + 1 }, (_, index): ConnectionSpec => {
        const at = Math.min(index * step, length);
        const how = (['destroy', 'end', 'reset'] as const)[at % 3] ?? 'end';
        return { requests: [request], isPipelined: true, cuts: [], early: { at: (at + 0.5) / length, how } };
      });
    });
    for (let at = 0; at < specs.length; at += MAX_CONNECTIONS) {
      const batch = specs.slice(at, at + MAX_CONNECTIONS);
      if ((await run.batch(batch)).length === 0) continue;
      // One after the other, the fault is that of one place.
      for (const spec of batch) {
        const found = await run.batch([spec]);
        if (found.length > 0) throw new Error(`${JSON.stringify(spec)}\n${found.join('\n')}`);
      }
      throw new Error(`only together: ${JSON.stringify(batch)}`);
    }
  });
}

export class FuzzRun {
  readonly oracle: Oracle;
  cases = 0;
  connections = 0;
  #made = 0;
  #patienceMs = PATIENCE_MS;
  readonly #heldBefore = new Map<string, number>();

  constructor(readonly service: FuzzedService) {
    this.oracle = new Oracle(service);
  }

  /** Stores secrets in the workspaces of all users, some of them out of everybody's reach. */
  async fill(): Promise<void> {
    for (const [user, workspace] of [
      ['alice', 'otmoic'],
      ['alice', 'notes'],
      ['alice', 'shared'],
      ['alice', 'foreign'],
      ['bob', 'otmoic'],
      ['gone-1', 'otmoic'],
    ] as const)
      // prettier-ignore
      for (const environment of ['prod', 'dev'] as const)
        await this.service.put({ user, workspace, environment }, 'k', `mk_${(this.#made += 1)}_`);
  }

  /** Sends a batch of connections at once; returns the rules that were broken. */
  async batch(specs: readonly ConnectionSpec[]): Promise<readonly string[]> {
    const { oracle, service } = this;
    const planned = specs.map((spec) => this.#plan(spec));
    oracle.requests.clear();
    oracle.faults.length = 0;
    for (const { sent, from } of planned)
      for (const request of sent) oracle.requests.set(request.id, { request, from });
    const exchanges = planned.map(async ({ spec, from, sent }) => {
      oracle.judge(await exchange(service.url, from, spec, sent), sent, from, spec.early !== undefined);
    });
    await Promise.all([...exchanges, ...planned.slice(0, 2).map(({ sent }) => this.#metricsPort(sent))]);
    const held = await this.#notGivenBack();
    this.connections += planned.length;
    this.cases += planned.reduce((sum, { sent }) => sum + sent.length, 0);
    return [...oracle.faults, ...service.faults.splice(0), ...held.map((what) => `not given back: ${what}`)];
  }

  /**
   * Waits until no more is held than before the batch; returns what still is, after so long. It counts as held before from then
   * on, so that the batch is the one that holds it, and not those that follow.
   */
  async #notGivenBack(): Promise<readonly string[]> {
    let more: readonly (readonly [string, number])[] = [];
    const isFree = async (): Promise<void> => {
      const now = await this.service.held();
      more = [...now].filter(([name, count]) => count > (this.#heldBefore.get(name) ?? 0));
      if (more.length > 0) throw new Error('held');
    };
    await eventually(isFree, this.#patienceMs).catch(() => undefined);
    if (more.length === 0) return [];
    this.#patienceMs = SHRINKING_PATIENCE_MS;
    for (const [name, count] of more) this.#heldBefore.set(name, count);
    return more.map(([name, count]) => `${name} ${count}`);
  }

  describe({
    seed,
    counterexamplePath,
    counterexample,
    errorInstance,
  }: fc.RunDetails<[ConnectionSpec[]]>): string {
    const said = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
    const sent = (counterexample?.[0] ?? []).map((spec) => {
      const { from, sent: requests } = this.#plan(spec);
      const texts = requests.map(({ bytes }) => JSON.stringify(bytes.subarray(0, 3_000).toString('latin1')));
      return `from ${from}, ${JSON.stringify({ ...spec, requests: undefined })}\n  ${texts.join('\n  ')}`;
    });
    return `${JSON.stringify(this.service.setup)}, seed ${seed}, path ${counterexamplePath}\n${said}\n${sent.join('\n')}`;
  }

  #plan(spec: ConnectionSpec): Planned {
    const sent = spec.requests.map((request) => {
      this.#made += 1;
      return rendered(request, `q${this.#made}`, `mk_${this.#made}_`);
    });
    return { spec, from: spec.requests[0]?.who.from ?? '127.0.0.1', sent };
  }

  /** Sends one of the same to the port of the metrics, to a target of that port; it answers once, and closes. */
  async #metricsPort(sent: readonly SentRequest[]): Promise<void> {
    const { bytes, target } = sent.at(-1) ?? { bytes: Buffer.alloc(0), target: '' };
    const asked = ['/metrics', '/livez', '/readyz', target][this.#made % 4] ?? '';
    const text = bytes.toString('latin1').replace(/^\S* \S*/, () => `GET ${asked}`);
    const answer = await textOf(this.service.metricsUrl, text);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 400);
    const heads = answer.match(/^HTTP\/1\.1 (?!100)/gm) ?? [];
    if (!METRICS_STATUSES.has(status) || heads.length > 1 || /mk_\d|eyJ/.test(answer))
      this.oracle.faults.push(`the metrics port answers ${asked} with ${answer.slice(0, 200)}`);
    this.cases += 1;
  }
}
