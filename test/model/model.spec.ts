import { IS_LONG, type ModelledStore, sendCommands, shortPauses } from './send-commands';
import fc from '../support/fast-check';
import { embeddedBackend, infisicalBackend, memoryBackend } from './modelled-backends';

/** How many commands are sent at least: in the gate, and in the long form. */
interface Modelled extends ModelledStore {
  readonly commands: readonly [number, number];
}

const MODELLED: Readonly<Record<string, Modelled>> = {
  'a store in memory behind the decorators of Infisical': { open: memoryBackend, caller: 'use-cases', commands: [600, 130_000] },
  'the embedded store': { open: embeddedBackend, caller: 'use-cases', commands: [400, 80_000] },
  'the fork of Infisical': { open: () => infisicalBackend('fork'), caller: 'use-cases', commands: [200, 8_000] },
  'Infisical v3': { open: () => infisicalBackend('v3'), caller: 'use-cases', commands: [200, 8_000] },
  'Infisical v4': { open: () => infisicalBackend('v4'), caller: 'use-cases', commands: [200, 8_000] },
  'Infisical v4 without a cache': { open: () => infisicalBackend('v4', false), caller: 'use-cases', commands: [200, 6_000] },
  'a store in memory behind the decorators of Infisical, over HTTP': { open: memoryBackend, caller: 'http', commands: [300, 35_000] },
  'the embedded store, over HTTP': { open: embeddedBackend, caller: 'http', commands: [200, 25_000] },
  'Infisical v3, over HTTP': { open: () => infisicalBackend('v3'), caller: 'http', commands: [200, 6_000] },
}; // prettier-ignore

jest.setTimeout(3_600_000);
shortPauses();

const { seed: fixedSeed } = fc.readConfigureGlobal();

describe('the service answers concurrent commands in some order, whatever fails, with', () => {
  const all = new Map<string, number>();
  let seeds = 0;
  afterAll(() => {
    const total = [...all.values()].reduce((sum, count) => sum + count, 0);
    process.stdout.write(`figure: model cases = ${total}\n`);
    for (const [end, count] of [...all].sort())
      process.stdout.write(`figure: model cases, ${end} = ${count}\n`);
  });

  it.each(Object.entries(MODELLED))('%s', async (title, modelled) => {
    const seed = fixedSeed ?? Date.now() % 1_000_000_000;
    seeds += 1;
    process.stdout.write(`model: ${title}: seed ${seed}\n`);
    const ends = await sendCommands(modelled, modelled.commands[IS_LONG ? 1 : 0], seed);
    for (const [end, count] of ends) all.set(end, (all.get(end) ?? 0) + count);
  });

  it('and they end in each way in which they may', () => {
    // One that was chosen by its title does not end in all of them.
    if (seeds < Object.keys(MODELLED).length) return;
    expect([...all.keys()]).toEqual(expect.arrayContaining(['done', 'gone', 'NOT_GRANTED', 'SECRET_NOT_FOUND', 'SECRET_ALREADY_EXISTS', 'PRECONDITION_FAILED', 'QUOTA_EXCEEDED', 'STORE_UNAVAILABLE', 'STORE_OUTCOME_UNKNOWN', 'TOO_MANY_REQUESTS', 'AUDIT_UNAVAILABLE'])); // prettier-ignore
  });
});
