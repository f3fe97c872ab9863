import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { conditions, type Condition } from './fault-plan-conditions';
import { WIRE_FAULTS, type ExpectedResults, type Operation, type WireFault } from './fault-plan';
import {
  runOperation,
  expectedLine,
  SHORT_TIMEOUTS,
  openTestedStore,
  OPERATIONS,
  LONG_TIMEOUTS,
  recovery,
  type StoreState,
  type TestedStore,
  shortPauses,
} from './fault-plan-run';

const ALL = Object.keys(OPERATIONS) as Operation[];
const WRITES = ALL.filter((operation) => OPERATIONS[operation].kind === 'write');

/** One of each kind: a store that does not know the API version yet treats all of a kind alike. */
const EACH_KIND = ['retrieve', 'create', 'ping'] as const;

const unhandled: unknown[] = [];
const remember = (reason: unknown) => void unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', remember));
afterAll(() => void process.off('unhandledRejection', remember));

shortPauses();

type Results = Record<string, string>;

interface Injection {
  readonly times: number;
  readonly when: 'before' | 'after';
  readonly storeState: StoreState;
}

const API_VERSIONS = ['fork', 'v3', 'v4'] as const;
/** Of faults whose operations end by their timeouts alone, by injection: the API versions wait for them at once. */
const waited = new Map<WireFault, Map<string, Promise<readonly Results[]>>>();

async function resultsWithFault(
  operations: readonly Operation[],
  apiVersion: ApiVersionName,
  wire: WireFault,
  injection: Injection,
): Promise<Results> {
  if (wire.unanswered === undefined) return injected(operations, apiVersion, wire, injection);
  const ofWire = waited.get(wire) ?? new Map<string, Promise<readonly Results[]>>();
  waited.set(wire, ofWire);
  const key = JSON.stringify([operations, injection]);
  const running =
    ofWire.get(key) ??
    Promise.all(API_VERSIONS.map((version) => injected(operations, version, wire, injection)));
  ofWire.set(key, running);
  return (await running)[API_VERSIONS.indexOf(apiVersion)] ?? {};
}

/** Runs each operation on a store of its own with the fault; all at once, since most of the time is waiting. */
async function injected(
  operations: readonly Operation[],
  apiVersion: ApiVersionName,
  wire: WireFault,
  { times, when, storeState }: Injection,
): Promise<Results> {
  const timeouts = wire.unanswered ? SHORT_TIMEOUTS : LONG_TIMEOUTS;
  const testedStores = await Promise.all(
    operations.map(() => openTestedStore(apiVersion, timeouts, storeState)),
  );
  const meet = async (operation: Operation, tested: TestedStore) => {
    tested.fake.fail({ times, fault: wire.fault(when) });
    const result = await runOperation(tested, operation);
    if (times === 1) return [operation, result] as const;
    tested.fake.heal();
    return [operation, `${result}; ${await recovery(tested, wire.recoversAfterMs)}`] as const;
  };
  return Object.fromEntries(await Promise.all(testedStores.map((tested, i) => meet(operations[i]!, tested))));
}

async function resultsUnder(apiVersion: ApiVersionName, condition: Condition): Promise<Results> {
  const { begin, fromTheStart, recoversAfterMs } = condition;
  const meet = async (operation: Operation) => {
    const tested = await openTestedStore(apiVersion, LONG_TIMEOUTS, fromTheStart ? 'new' : 'warm');
    const end = await begin(tested);
    const result = await runOperation(tested, operation);
    await end?.();
    return [operation, `${result}; ${await recovery(tested, recoversAfterMs)}`] as const;
  };
  return Object.fromEntries(await Promise.all(ALL.map(meet)));
}

const lines = (operations: readonly Operation[], results: ExpectedResults, more = ''): Results =>
  Object.fromEntries(operations.map((one) => [one, expectedLine(results, one) + more]));
const RECOVERED = '; recovered';

describe.each(API_VERSIONS)('every operation (%s)', (apiVersion) => {
  afterEach(() => expect(unhandled.splice(0)).toEqual([]));
  const faults = Object.entries(WIRE_FAULTS);

  it.each(faults)('that every call of meets %s', async (_title, wire) => {
    const injection = { times: 999, when: 'before', storeState: 'warm' } as const;
    expect(await resultsWithFault(ALL, apiVersion, wire, injection)).toEqual(
      lines(ALL, wire.always, RECOVERED),
    );
  });

  it.each(faults)('whose own call meets %s, once', async (_title, wire) => {
    const injection = { times: 1, when: 'before', storeState: 'warm' } as const;
    expect(await resultsWithFault(ALL, apiVersion, wire, injection)).toEqual(lines(ALL, wire.once));
  });

  it.each(faults.filter(([, { carriedOut }]) => carriedOut !== undefined))(
    'that was carried out, but whose answer meets %s',
    async (_title, wire) => {
      const injection = { times: 1, when: 'after', storeState: 'warm' } as const;
      const result = wire.carriedOut!;
      const results = { read: result, write: result, ping: result };
      expect(await resultsWithFault(WRITES, apiVersion, wire, injection)).toEqual(lines(WRITES, results));
    },
  );

  it.each(faults)('of a process that has just started and meets %s', async (_title, wire) => {
    const injection = { times: 999, when: 'before', storeState: 'unprobed' } as const;
    expect(await resultsWithFault(EACH_KIND, apiVersion, wire, injection)).toEqual(
      lines(EACH_KIND, wire.cold, RECOVERED),
    );
  });

  it.each(Object.entries(conditions(apiVersion)))('that meets %s', async (_title, condition) => {
    const { results } = condition;
    expect(await resultsUnder(apiVersion, condition)).toEqual(lines(ALL, results, RECOVERED));
  });
});
