import fc from '../support/fast-check';
import { closeEarly, type Figures, fuzz } from './fuzz-run';
import type { Setup } from './fuzzed-service';

/** As few reach every route. `npm run test:fuzz` sends a million, and 20,000 more whose clients go away early. */
const MIN_CASES = 7_000;
const CASES = Math.max(MIN_CASES, Number(process.env['FUZZ_CASES'] ?? MIN_CASES));
/** Clients go away behind every fourth byte, which is no multiple of the three ways to go; in the long form behind every one. */
const STEP = CASES > MIN_CASES ? 1 : 4;
/** After so many the service is started anew, so that its log stays small. */
const SLICE = 10_000;
const SETUPS: readonly Setup[] = [
  { store: 'embedded', responseStyle: 'documented' },
  { store: 'infisical', responseStyle: 'sidecar' },
];
const MANY_MS = 120_000 + CASES * 20;

describe('a service that gets requests of any form', () => {
  const figures: Figures = { cases: 0, connections: 0, routes: [], successes: new Map(), reasons: new Map() };
  const seed = fc.readConfigureGlobal().seed ?? Math.floor(Math.random() * 2 ** 31);
  let faults = 0;
  /** Counts a fault, so that the figure is printed where one is found too. */
  const counted = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error: unknown) {
      faults += 1;
      throw error;
    }
  };

  it.each(SETUPS)(
    'answers each as documented, shows nobody what is not theirs, and holds nothing afterwards, with $store',
    async (setup) => {
      const wanted = figures.cases + CASES / SETUPS.length;
      for (let slice = 0; figures.cases < wanted; slice += 1) {
        const sliceSeed = (seed + slice * SLICE) % 2 ** 31;
        process.stdout.write(`fuzz: ${setup.store}, ${figures.cases} cases so far, seed ${sliceSeed}\n`);
        await counted(fuzz(setup, Math.min(SLICE, wanted - figures.cases), sliceSeed, figures));
      }
    },
    MANY_MS,
  );

  it(
    'gives back everything where its client goes away behind any byte of a request to any route',
    async () => {
      const before = figures.cases;
      await counted(closeEarly({ store: 'embedded', responseStyle: 'documented' }, STEP, figures));
      process.stdout.write(`figure: fuzz early closes = ${figures.cases - before}\n`);
    },
    MANY_MS,
  );

  it('has been reached on every route, and has refused for the usual reasons', () => {
    expect(figures.routes.length).toBeGreaterThan(15);
    expect(figures.routes.filter((route) => !figures.successes.has(route))).toEqual([]);
    const reasons = ['INVALID_REQUEST', 'UNAUTHENTICATED', 'NOT_GRANTED', 'USER_MISMATCH', 'NOT_SETTINGS_APP', 'SECRET_NOT_FOUND', 'ROUTE_NOT_FOUND', 'SECRET_ALREADY_EXISTS', 'REQUEST_TOO_LARGE', 'HEADERS_TOO_LARGE']; // prettier-ignore
    expect([...figures.reasons.keys()]).toEqual(expect.arrayContaining(reasons));
  });

  afterAll(() => {
    const { cases, connections, successes, reasons } = figures;
    process.stdout.write(`figure: fuzz cases = ${cases}\nfigure: fuzz faults = ${faults}\n`);
    process.stdout.write(`fuzz: ${connections} connections, ${told(successes)}, ${told(reasons)}\n`);
  });
});

const told = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([of, count]) => `${of} ${count}`).join(', ');
