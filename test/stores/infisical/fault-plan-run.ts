import { performance } from 'node:perf_hooks';
import { inspect } from 'node:util';
import { DomainError } from '../../../src/errors/domain-error';
import { TooManyRequests } from '../../../src/errors/request-errors';
import { StoreUnreachable } from '../../../src/errors/store-errors';
import type { SecretStore } from '../../../src/secrets/secret-store';
import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import type { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { LostTime } from '../../support/lost-time';
import { RunningClock } from '../../support/running-clock';
import { RunningMonotonicTime } from '../../support/running-monotonic-time';
import { CLIENT_SECRET, leaksIn, VALUE } from './canary';
import { CAP_BYTES, ELSEWHERE, type Course, type Courses, type Operation } from './fault-plan';
import { at, openStore, ROUTES, routesOf, type Choices, type Opened } from './opened-store';

export const NAME = 'canary-name';
/** Beside its deadline, and beside the time that the machine did not let us run. */
const SLACK_MS = 150;

interface Kind {
  readonly kind: 'read' | 'write' | 'ping';
  readonly method: string;
  run(store: SecretStore): Promise<unknown>;
}

export const OPERATIONS: Readonly<Record<Operation, Kind>> = {
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

/** The times of a store that meets a server which never answers, and of all others: a busy machine must not time out these. */
export const HASTY: Times = { requestTimeoutMs: 500, operationTimeoutMs: 1_200 };
export const PATIENT: Times = { requestTimeoutMs: 4_000, operationTimeoutMs: 6_000 };

interface Times {
  readonly requestTimeoutMs: number;
  readonly operationTimeoutMs: number;
}

/** How far a store has come: it has used its server, knows which it is, or knows nothing. */
export type Experience = 'warm' | 'new' | 'ignorant';

/** A server with one secret, and a store on it. */
export interface Scene extends Opened {
  readonly apiVersion: ApiVersionName;
  /** The one on the wall, which may also jump. */
  readonly clock: RunningClock;
  readonly time: RunningMonotonicTime;
  readonly times: Times;
}

export async function openScene(
  apiVersion: ApiVersionName,
  times: Times,
  experience: Experience = 'warm',
): Promise<Scene> {
  const clock = new RunningClock();
  const time = new RunningMonotonicTime();
  const options: Choices = { ...times, maxAnswerBytes: CAP_BYTES, maxKnownProjects: 10 };
  const opened = await openStore({ apiVersion, clientSecret: CLIENT_SECRET }, options, clock, time);
  const { fake } = opened;
  const project = fake.world.addProject(projectSlug(at()), 'a project', fake.identity);
  const prod = project.environments.find(({ slug }) => slug === 'prod');
  if (prod !== undefined) fake.world.addSecret(prod, NAME, 'canary-value of before');
  const store = experience === 'ignorant' ? opened.another({ apiVersion: undefined }) : opened.store;
  if (experience === 'warm') await store.list(at());
  fake.calls.splice(0);
  return { ...opened, store, apiVersion, clock, time, times };
}

/** What one operation did and left, in a line that a table can be compared with. */
export async function drive(scene: Scene, operation: Operation): Promise<string> {
  const { fake, store, logged, times } = scene;
  const lost = new LostTime();
  const started = performance.now();
  let thrown: unknown;
  await OPERATIONS[operation].run(store).catch((error: unknown) => (thrown = error));
  const tookMs = performance.now() - started;
  const late = tookMs > times.operationTimeoutMs + SLACK_MS + lost.ms;
  lost.stop();
  const leaks = [...leaksIn(thrown), ...leaksIn(logged)];
  if (JSON.stringify(logged).includes(NAME)) leaks.push('the name, in the log');
  const strays = fake.calls.filter(({ target }) => target.startsWith(ELSEWHERE));
  return [
    countsOf(endedAs(thrown), fake, operation, scene.apiVersion),
    ...(late ? [`late: ${Math.round(tookMs)} ms`] : []),
    ...(leaks.length > 0 ? [`leaks: ${leaks.join()}`] : []),
    ...(strays.length > 0 ? [`strayed to ${strays.map(({ target }) => target).join()}`] : []),
    ...(fake.calls.length > MOST_CALLS ? [`${fake.calls.length} calls in all`] : []),
  ].join('; ');
}

/** However it goes, one operation is no flood. */
const MOST_CALLS = 12;

export function expected(courses: Courses, operation: Operation): string {
  return lineOf(courses[operation] ?? courses[OPERATIONS[operation].kind]);
}

export function lineOf({ ended, sent, looks = 0, logins = 0, probes = 0 }: Course): string {
  return `${ended}: sent ${sent}, looked ${looks}, logged in ${logins}, probed ${probes}`;
}

/** Serves as if nothing had been, and is ready: the same store, without a restart. */
export async function recovery({ fake, store, clock, time, logged }: Scene, afterMs = 0): Promise<string> {
  const secret = { name: 'after', value: 'all is well' };
  for (const each of [clock, time]) each.advance(afterMs);
  try {
    await store.create(at(), secret);
    const { value } = await store.retrieve(at(), secret.name);
    if (value !== secret.value) return `another value: ${value}`;
    // Readiness looks again each 5 s.
    for (const each of [clock, time]) each.advance(5_000);
    await store.ping();
    return 'recovered';
  } catch (error: unknown) {
    const last = fake.calls.map(({ method, target, status }) => `${method} ${target} ${status}`).slice(-4);
    return `not recovered: ${String(error)} ${JSON.stringify(logged.slice(-3))} ${last.join(', ')}`;
  }
}

export function endedAs(thrown: unknown): string {
  if (thrown === undefined) return 'done';
  if (!(thrown instanceof DomainError)) return `foreign ${inspect(thrown)}`;
  if (thrown instanceof StoreUnreachable) return 'StoreUnavailable';
  return thrown instanceof TooManyRequests ? `${thrown.name} ${thrown.retryAfterSeconds}` : thrown.name;
}

function countsOf(
  ended: string,
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
    ended: ended as Course['ended'],
    sent: count(method, own[kind]),
    looks: kind === 'write' ? count('GET', list) : 0,
    logins: fake.count('POST', ROUTES.login),
    // Nothing else that is read goes without a bearer.
    probes: fake.calls.filter((call) => !call.bearer && call.method === 'GET').length,
  });
}

/** The pauses between attempts are as short as chance can have them. */
export function shortPauses(): void {
  const chance = Math.random;
  beforeEach(() => void jest.spyOn(Math, 'random').mockImplementation(() => chance() / 50));
  afterEach(() => jest.restoreAllMocks());
}
