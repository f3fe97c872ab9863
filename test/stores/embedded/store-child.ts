import { StoreClient } from '../../support/store-client';
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { DomainError } from '../../../src/errors/domain-error';
import type { SecretScope } from '../../../src/secrets/secret';
import { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { rotateMasterKey } from '../../../src/stores/embedded/vault/vault';

/** A process that tests kill: `node store-child.js <job> <dataDir> [<detail>]`. It says each thing as it is done. */
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

const jobs: Record<string, (dataDir: string, detail: string) => Promise<void>> = {
  /**
   * Opens and stays, as another user where one is named: not before everything is loaded, since the project may lie in a folder that
   * only root may enter.
   */
  async hold(dataDir, uid) {
    if (uid !== '') {
      process.setgroups?.([]);
      process.setgid?.(Number(uid));
      process.setuid?.(Number(uid));
    }
    await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') });
    say('open');
    setInterval(() => undefined, 1000);
  },

  /** Makes a store, and dies right before one of the steps of that. */
  async make(dataDir, lastStep) {
    let step = 0;
    const counted =
      <A extends unknown[], R>(work: (...args: A) => R) =>
      (...args: A): R => {
        if (++step > Number(lastStep)) process.kill(process.pid, 'SIGKILL');
        return work(...args);
      };
    for (const name of ['mkdir', 'mkdtemp', 'open', 'rename', 'rm'] as const) {
      Object.assign(fs, { [name]: counted(fs[name] as (...args: unknown[]) => unknown) });
    }
    const steps = ClassicLevel.prototype as unknown as Record<
      string,
      (this: unknown, ...args: unknown[]) => unknown
    >;
    for (const name of ['open', 'put', 'close']) {
      const own = steps[name];
      steps[name] = function (...args) {
        return counted(() => own?.apply(this, args))();
      };
    }
    const store = new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') }));
    say(`made in ${step} steps`);
    await store.close();
  },

  /** Updates four names side by side without end. */
  async write(dataDir) {
    const store = new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') }));
    await Promise.all(
      ['k0', 'k1', 'k2', 'k3'].map(async (name) => {
        for (let version = Number((await store.retrieve(SCOPE, name)).value.split(':')[0]) + 1; ; version++) {
          await store.update(SCOPE, { name, value: versioned(version) });
          say(`${name} ${version}`);
        }
      }),
    );
  },

  /** Creates until a file cannot grow any more, then says what still works. */
  async fill(dataDir) {
    const store = new StoreClient(
      await EmbeddedSecretStore.open({ dataDir, masterKey: key('A'), maxDiskReserveBytes: 0 }),
    );
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

  /**
   * Creates, updates and deletes large secrets for full-disk.spec.ts without end, eight at a time, and deletes when it is told that the
   * store is full. Says each operation before and after, its outcome with it.
   */
  async churn(dataDir, detail) {
    const store = new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') }));
    say('open');
    const scope = { user: 'mallory', workspace: 'large', environment: 'prod' } as const;
    const held = new Map<string, number>();
    for (const { name, value } of await store.list(scope)) held.set(name, Number(value.split(':')[0]));
    let version = Number(detail) * 1_000_000;
    const attempt = async (name: string, operation: 'create' | 'update' | 'delete'): Promise<string> => {
      const next = operation === 'delete' ? 0 : ++version;
      say(`${name} ${next} begins`);
      const value = `${next}:${'x'.repeat(256 * 1024)}`;
      const outcome = await outcomeOf(
        operation === 'delete' ? store.delete(scope, name) : store[operation](scope, { name, value }),
      );
      say(`${name} ${next} ${outcome}`);
      if (outcome === 'done' && next === 0) held.delete(name);
      if (outcome === 'done' && next !== 0) held.set(name, next);
      return outcome;
    };
    const writer = async (number: number): Promise<void> => {
      for (let turn = 0; ; turn++) {
        const own = [...held.keys()].filter((name) => name.startsWith(`w${number}-`));
        const [first] = own;
        const outcome =
          first !== undefined && turn % 4 === 3
            ? await attempt(first, 'update')
            : await attempt(`w${number}-${detail}-${turn}`, 'create');
        if (outcome !== 'done' && first !== undefined) await attempt(first, 'delete');
        if (outcome !== 'done') await new Promise((resume) => setTimeout(resume, 20));
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)));
  },

  /** Lists all that users u0, u1, … have in `ws`, so often at once, and makes an answer of each list. */
  async list(dataDir, detail) {
    const [users = 1, times = 1] = detail.split(' ').map(Number);
    const store = new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') }));
    const outcomes = new Map<string, number>();
    await Promise.all(
      Array.from({ length: times }, async (_, n) => {
        const list = store.list({ user: `u${n % users}`, workspace: 'ws', environment: 'prod' });
        const outcome = await outcomeOf(list.then((secrets) => Buffer.from(JSON.stringify(secrets))));
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }),
    );
    for (const [outcome, count] of [...outcomes].sort()) say(`${outcome} ${count}`);
    await store.close();
  },

  /** Removes all workspaces of user `detail`. */
  async remove(dataDir, user) {
    const store = new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey: key('A') }));
    for (const workspace of await store.workspacesOf(user)) await store.removeWorkspace(workspace);
    say(`left ${(await store.workspacesOf(user)).length}`);
    await store.close();
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

const [job = '', dataDir = '', detail = ''] = process.argv.slice(2);
jobs[job]?.(dataDir, detail).catch((error: unknown) => {
  say(error instanceof Error ? `${error.name}: ${error.message}` : 'foreign error');
  process.exitCode = 1;
});
