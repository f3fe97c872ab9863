import type { StoreClient } from '../../support/store-client';
import { performance } from 'node:perf_hooks';
import { inspect } from 'node:util';
import { DomainError } from '../../../src/errors/domain-error';
import { TooManyRequests } from '../../../src/errors/request-errors';
import { StoreUnreachable } from '../../../src/errors/store-errors';
import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import type { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { LostTime } from '../../support/lost-time';
import { RunningClock } from '../../support/running-clock';
import { RunningMonotonicTime } from '../../support/running-monotonic-time';
import { CLIENT_SECRET, leaksIn, VALUE } from './canary';
import {
  CAP_BYTES,
  ELSEWHERE,
  type OperationResult,
  type ExpectedResults,
  type Operation,
} from './fault-plan';
import { at, openStore, ROUTES, routesOf, type Choices, type Opened } from './opened-store';

export const NAME = 'canary-name';
/** How much later than its deadline an operation may end, beside the time in which the machine did not let us run. */
const SLACK_MS = 150;

interface OperationKind {
  readonly kind: 'read' | 'write' | 'ping';
  readonly method: string;
  run(store: StoreClient): Promise<unknown>;
}

export const OPERATIONS: Readonly<Record<Operation, OperationKind>> = {
  retrieve: { kind: 'read', method: 'GET', run: (store) => store.retrieve(at(), NAME) },
  list: { kind: 'read', method: 'GET', run: (store) => store.list(at()) },
  create: {
    kind: 'write',
    method: 'POST',
    run: (store) => store.create(at(), { name: `${NAME}-2`, value: VALUE }),
  },
  update: {
    kind: 'write',
    method: 'PATCH',
    run: (store) => store.update(at(), { name: NAME, value: `${VALUE}2` }),
  },
  delete: { kind: 'write', method: 'DELETE', run: (store) => store.delete(at(), NAME) },
  ping: { kind: 'ping', method: 'GET', run: (store) => store.ping() },
};

/** Short ones for a server that never answers; long ones for all others, which must not time out on a busy machine. */
export const SHORT_TIMEOUTS: Timeouts = { requestTimeoutMs: 500, operationTimeoutMs: 1_200 };
export const LONG_TIMEOUTS: Timeouts = { requestTimeoutMs: 4_000, operationTimeoutMs: 6_000 };

interface Timeouts {
  readonly requestTimeoutMs: number;
  readonly operationTimeoutMs: number;
}

/** `warm`: it has used its server; `new`: it knows the API version only; `unprobed`: it knows nothing. */
export type StoreState = 'warm' | 'new' | 'unprobed';

/** A store on a fake server that holds one secret. */
export interface TestedStore extends Opened {
  readonly apiVersion: ApiVersionName;
  /** The clock of the day, which may also jump. */
  readonly clock: RunningClock;
  readonly time: RunningMonotonicTime;
  readonly timeouts: Timeouts;
}

export async function openTestedStore(
  apiVersion: ApiVersionName,
  timeouts: Timeouts,
  storeState: StoreState = 'warm',
): Promise<TestedStore> {
  const clock = new RunningClock();
  const time = new RunningMonotonicTime();
  const options: Choices = { ...timeouts, maxAnswerBytes: CAP_BYTES, maxKnownProjects: 10 };
  const opened = await openStore({ apiVersion, clientSecret: CLIENT_SECRET }, options, clock, time);
  const { fake } = opened;
  const project = fake.world.addProject(projectSlug(at()), 'a project', fake.identity);
  const prod = project.environments.find(({ slug }) => slug === 'prod');
  if (prod !== undefined) fake.world.addSecret(prod, NAME, 'canary-value of before');
  const store = storeState === 'unprobed' ? opened.another({ apiVersion: undefined }) : opened.store;
  if (storeState === 'warm') await store.list(at());
  fake.calls.splice(0);
  return { ...opened, store, apiVersion, clock, time, timeouts };
}

/** Runs one operation. Returns its result as lineOf() does, followed by every promise that it broke. */
export async function runOperation(tested: TestedStore, operation: Operation): Promise<string> {
  const { fake, store, logged, timeouts } = tested;
  const lost = new LostTime();
  const started = performance.now();
  let thrown: unknown;
  await OPERATIONS[operation].run(store).catch((error: unknown) => (thrown = error));
  const tookMs = performance.now() - started;
  const late = tookMs > timeouts.operationTimeoutMs + SLACK_MS + lost.ms;
  lost.stop();
  const leaks = [...leaksIn(thrown), ...leaksIn(logged)];
  if (JSON.stringify(logged).includes(NAME)) leaks.push('the name, in the log');
  const strays = fake.calls.filter(({ target }) => target.startsWith(ELSEWHERE));
  return [
    countsOf(outcomeOf(thrown), fake, operation, tested.apiVersion),
    ...(late ? [`late: ${Math.round(tookMs)} ms`] : []),
    ...(leaks.length > 0 ? [`leaks: ${leaks.join()}`] : []),
    ...(strays.length > 0 ? [`followed a redirect to ${strays.map(({ target }) => target).join()}`] : []),
    ...(fake.calls.length > MOST_CALLS ? [`${fake.calls.length} calls in all`] : []),
  ].join('; ');
}

/** The most calls that one operation may make, however it ends. */
const MOST_CALLS = 12;

export function expectedLine(results: ExpectedResults, operation: Operation): string {
  return lineOf(results[operation] ?? results[OPERATIONS[operation].kind]);
}

export function lineOf({
  outcome,
  sent,
  verifications = 0,
  logins = 0,
  probes = 0,
}: OperationResult): string {
  return `${outcome}: sent ${sent}, verified ${verifications}, logged in ${logins}, probed ${probes}`;
}

/** Returns `recovered` where the same store works and is ready again, without a restart. */
export async function recovery(
  { fake, store, clock, time, logged }: TestedStore,
  afterMs = 0,
): Promise<string> {
  const secret = { name: 'after', value: 'new value' };
  for (const each of [clock, time]) each.advance(afterMs);
  try {
    await store.create(at(), secret);
    const { value } = await store.retrieve(at(), secret.name);
    if (value !== secret.value) return `another value: ${value}`;
    // Readiness asks again after 5 s.
    for (const each of [clock, time]) each.advance(5_000);
    await store.ping();
    return 'recovered';
  } catch (error: unknown) {
    const last = fake.calls.map(({ method, target, status }) => `${method} ${target} ${status}`).slice(-4);
    return `not recovered: ${String(error)} ${JSON.stringify(logged.slice(-3))} ${last.join(', ')}`;
  }
}

export function outcomeOf(thrown: unknown): string {
  if (thrown === undefined) return 'done';
  if (!(thrown instanceof DomainError)) return `foreign ${inspect(thrown)}`;
  if (thrown instanceof StoreUnreachable) return 'StoreUnavailable';
  return thrown instanceof TooManyRequests ? `${thrown.name} ${thrown.retryAfterSeconds}` : thrown.name;
}

function countsOf(
  outcome: string,
  fake: FakeInfisical,
  operation: Operation,
  apiVersion: ApiVersionName,
): string {
  const { list, secret, ping } = routesOf(apiVersion);
  const own = { read: list, write: secret, ping };
  const { kind, method } = OPERATIONS[operation];
  const count = (ofMethod: string, template: string) =>
    fake.calls.filter((call) => call.bearer && call.method === ofMethod && call.template === template).length;
  return lineOf({
    outcome: outcome as OperationResult['outcome'],
    sent: count(method, own[kind]),
    verifications: kind === 'write' ? count('GET', list) : 0,
    logins: fake.count('POST', ROUTES.login),
    // Nothing else that is read goes without a bearer.
    probes: fake.calls.filter((call) => !call.bearer && call.method === 'GET').length,
  });
}

/** Makes the random pauses between attempts short. */
export function shortPauses(): void {
  const chance = Math.random;
  beforeEach(() => void jest.spyOn(Math, 'random').mockImplementation(() => chance() / 50));
  afterEach(() => jest.restoreAllMocks());
}
