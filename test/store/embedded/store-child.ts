import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { DomainError } from '../../../src/errors/domain-error';
import type { SecretScope } from '../../../src/secrets/secret';
import { EmbeddedSecretStore } from '../../../src/store/embedded/embedded.secret-store';
import { rotateMasterKey } from '../../../src/store/embedded/rotate-master-key';

/** A process that tests kill: `node store-child.js <job> <dataDir>`. It says each thing as it is done. */
const SCOPE: SecretScope = { user: 'alice', workspace: 'ws', environment: 'prod' };

function say(line: string): void {
  // Straight to the pipe: what was said was said, even when the next moment kills.
  writeSync(1, `${line}\n`);
}

function key(letter: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(letter).digest());
}

/** The same in the test: a value that shows whether it is whole, and which version it is. */
function versioned(version: number): string {
  return `${version}:${String(version % 10).repeat(40_000)}:${version}`;
}

async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'done';
  } catch (error: unknown) {
    return error instanceof DomainError ? error.reason : 'foreign error';
  }
}

const jobs: Record<string, (dataDir: string) => Promise<void>> = {
  /** Opens and stays. */
  async hold(dataDir) {
    await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') });
    say('open');
    setInterval(() => undefined, 1000);
  },

  /** Creates new folders without end. */
  async open(dataDir) {
    for (let turn = 0; ; turn++) {
      say(`opening ${turn}`);
      const store = await EmbeddedSecretStore.open({ dataDir: `${dataDir}/${turn}`, masterKey: key('A') });
      await store.close();
    }
  },

  /** Updates four names side by side without end. */
  async write(dataDir) {
    const store = await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') });
    await Promise.all(
      ['k0', 'k1', 'k2', 'k3'].map(async (name) => {
        for (let version = Number((await store.retrieve(SCOPE, name)).value.split(':')[0]) + 1; ; version++) {
          await store.update(SCOPE, { name, value: versioned(version) });
          say(`${name} ${version}`);
        }
      }),
    );
  },

  /** Creates until the disk is full, then says what still works. */
  async fill(dataDir) {
    const store = await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') });
    const create = (n: number) =>
      outcomeOf(store.create(SCOPE, { name: `n${n}`, value: versioned(n) })).then((outcome) => {
        say(`create ${n} ${outcome}`);
        return outcome;
      });
    let next = 0;
    while ((await create(next++)) === 'done');
    await create(next);
    say(`retrieve ${await outcomeOf(store.retrieve(SCOPE, 'n0'))}`);
    say(`ping ${await outcomeOf(store.ping())}`);
    say(`close ${await outcomeOf(store.close())}`);
  },

  /** Rotates from A to B and back without end. */
  async rotate(dataDir) {
    for (let turn = 0; ; turn++) {
      const [from, to] = turn % 2 === 0 ? (['A', 'B'] as const) : (['B', 'A'] as const);
      say(`rotating ${turn}`);
      await rotateMasterKey({ dataDir, masterKey: key(from), newMasterKey: key(to) });
    }
  },
};

const [job = '', dataDir = ''] = process.argv.slice(2);
jobs[job]?.(dataDir).catch((error: unknown) => {
  say(error instanceof Error ? `${error.name}: ${error.message}` : 'foreign error');
  process.exitCode = 1;
});
