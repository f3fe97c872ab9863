import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { circumstances, type Circumstance } from './fault-plan-circumstances';
import { WIRE_FAULTS, type Courses, type Operation, type WireFault } from './fault-plan';
import {
  drive,
  expected,
  HASTY,
  openScene,
  OPERATIONS,
  PATIENT,
  recovery,
  type Experience,
  type Scene,
  shortPauses,
} from './fault-plan-run';

const ALL = Object.keys(OPERATIONS) as Operation[];
const WRITES = ALL.filter((operation) => OPERATIONS[operation].kind === 'write');

/** What has yet to find out which server it is does not get as far as to differ. */
const EACH_KIND = ['retrieve', 'create', 'ping'] as const;

const unhandled: unknown[] = [];
const remember = (reason: unknown) => void unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', remember));
afterAll(() => void process.off('unhandledRejection', remember));

shortPauses();

type Results = Record<string, string>;

interface Strike {
  readonly times: number;
  readonly when: 'before' | 'after';
  readonly experience: Experience;
}

/** Each operation meets the fault in a scene of its own; all of them at once, since most of it is waiting. */
async function metBy(
  operations: readonly Operation[],
  apiVersion: ApiVersionName,
  wire: WireFault,
  { times, when, experience }: Strike,
): Promise<Results> {
  const waitLimit = wire.endless ? HASTY : PATIENT;
  const scenes = await Promise.all(operations.map(() => openScene(apiVersion, waitLimit, experience)));
  const meet = async (operation: Operation, scene: Scene) => {
    scene.fake.fail({ times, fault: wire.fault(when) });
    const course = await drive(scene, operation);
    if (times === 1) return [operation, course] as const;
    scene.fake.heal();
    return [operation, `${course}; ${await recovery(scene, wire.recoversAfterMs)}`] as const;
  };
  return Object.fromEntries(await Promise.all(scenes.map((scene, i) => meet(operations[i]!, scene))));
}

async function metUnder(apiVersion: ApiVersionName, circumstance: Circumstance): Promise<Results> {
  const { begin, fromTheStart, recoversAfterMs } = circumstance;
  const meet = async (operation: Operation) => {
    const scene = await openScene(apiVersion, PATIENT, fromTheStart ? 'new' : 'warm');
    const end = await begin(scene);
    const course = await drive(scene, operation);
    await end?.();
    return [operation, `${course}; ${await recovery(scene, recoversAfterMs)}`] as const;
  };
  return Object.fromEntries(await Promise.all(ALL.map(meet)));
}

const lines = (operations: readonly Operation[], courses: Courses, more = ''): Results =>
  Object.fromEntries(operations.map((one) => [one, expected(courses, one) + more]));
const RECOVERED = '; recovered';

describe.each(['fork', 'v3', 'v4'] as const)('every operation (%s)', (apiVersion) => {
  afterEach(() => expect(unhandled.splice(0)).toEqual([]));
  const faults = Object.entries(WIRE_FAULTS);

  it.each(faults)('that every call of meets %s', async (_title, wire) => {
    const strike = { times: 999, when: 'before', experience: 'warm' } as const;
    expect(await metBy(ALL, apiVersion, wire, strike)).toEqual(lines(ALL, wire.always, RECOVERED));
  });

  it.each(faults)('whose own call meets %s, once', async (_title, wire) => {
    const strike = { times: 1, when: 'before', experience: 'warm' } as const;
    expect(await metBy(ALL, apiVersion, wire, strike)).toEqual(lines(ALL, wire.once));
  });

  it.each(faults.filter(([, { carriedOut }]) => carriedOut !== undefined))(
    'that was carried out, but whose answer meets %s',
    async (_title, wire) => {
      const strike = { times: 1, when: 'after', experience: 'warm' } as const;
      const course = wire.carriedOut!;
      const courses = { read: course, write: course, ping: course };
      expect(await metBy(WRITES, apiVersion, wire, strike)).toEqual(lines(WRITES, courses));
    },
  );

  it.each(faults)('of a process that has just started and meets %s', async (_title, wire) => {
    const strike = { times: 999, when: 'before', experience: 'ignorant' } as const;
    expect(await metBy(EACH_KIND, apiVersion, wire, strike)).toEqual(lines(EACH_KIND, wire.cold, RECOVERED));
  });

  it.each(Object.entries(circumstances(apiVersion)))('that meets %s', async (_title, circumstance) => {
    const { courses } = circumstance;
    expect(await metUnder(apiVersion, circumstance)).toEqual(lines(ALL, courses, RECOVERED));
  });
});
