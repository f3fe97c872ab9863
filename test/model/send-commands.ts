import fc from '../support/fast-check';
import { firstGrants, type ModelRun, runs, type UsersOfRun } from './concurrent-commands';
import type { ModelledBackend } from './modelled-backends';
import { ModelledService } from './modelled-service';
import { SecretsModel } from './secrets-model';

/** `npm run test:model`: other seeds, and so many commands that it takes half an hour. */
export const IS_LONG = process.env['LONG_TESTS'] === 'true';
/** Runs on one service, before another is started, so that a server does not get slow by all that was stored. */
const RUNS_OF_SERVICE = IS_LONG ? 10 : 4;

/** A store, and how the service in front of it is called. */
export interface ModelledStore {
  readonly open: () => Promise<ModelledBackend>;
  readonly caller: 'http' | 'use-cases';
}

let runCount = 0;

/**
 * Sends at least so many commands. Returns how many ended in which way.
 * @param shrinks whether a run that fails is made shorter, which takes a while
 * @throws Error with seed and path of a run that breaks a promise
 */
export async function sendCommands(
  { open, caller }: ModelledStore,
  commands: number,
  seed: number,
  shrinks = true,
): Promise<ReadonlyMap<string, number>> {
  const ends = new Map<string, number>();
  let sent = 0;
  for (let round = 0; sent < commands; round += 1) {
    const service = await ModelledService.open(await open(), caller, ends);
    try {
      const property = fc.asyncProperty(fc.scheduler(), runs, async (scheduler, sequence) => {
        const users: UsersOfRun = [`alice${(runCount += 1)}`, `bob${runCount}`];
        const run: ModelRun = { service, users, scheduler, sent: 0, values: new Map() };
        await service.begin(firstGrants(users), () => scheduler.schedule(Promise.resolve()));
        const model = new SecretsModel();
        await fc.asyncModelRun(() => ({ model, real: run }), sequence);
        await scheduler.waitFor(service.compare(users, model));
        sent += run.sent;
      });
      await fc.assert(property, {
        numRuns: RUNS_OF_SERVICE,
        seed: seed + round,
        includeErrorInReport: true,
        endOnFailure: !shrinks,
      });
    } finally {
      await service.close();
    }
  }
  return ends;
}

/** Pauses between the attempts of a call are random parts of a second; this makes them short. */
export function shortPauses(): void {
  const chance = Math.random;
  beforeEach(() => void jest.spyOn(Math, 'random').mockImplementation(() => chance() / 50));
  afterEach(() => jest.restoreAllMocks());
}
