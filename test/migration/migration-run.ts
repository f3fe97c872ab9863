import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '../../src/migration/migration';
import { type MigrationReport, reportOf } from '../../src/migration/migration-command';
import { MigrationState } from '../../src/migration/migration-state';
import { parseInventory, parseUsers, planOf } from '../../src/migration/predecessor-inventory';
import { PredecessorServer } from '../../src/migration/predecessor-server';
import { SecretCopier, type SecretTarget } from '../../src/migration/secret-copier';
import { ENVIRONMENTS, type SecretScope } from '../../src/secrets/secret';
import { type MonotonicTime, SystemClock, SystemMonotonicTime } from '../../src/time/clock';
import { FakePredecessor, type FakePerson } from '../support/fake-predecessor';
import { MemorySecretStore } from '../support/memory.secret-store';

/** A predecessor, a store of ours and the users of a cluster, for one test. */
export class MigrationScene {
  readonly store = new MemorySecretStore();
  readonly people = new Map<string, FakePerson>();
  readonly stateFile: string;
  /** Users whom the cluster has no more. */
  readonly deleted = new Set<string>();

  private constructor(
    readonly predecessor: FakePredecessor,
    private readonly dir: string,
  ) {
    this.stateFile = join(dir, 'state.json');
  }

  static async open(rateLimits = false): Promise<MigrationScene> {
    const predecessor = await FakePredecessor.start({ rateLimits });
    return new MigrationScene(predecessor, mkdtempSync(join(tmpdir(), 'migration-')));
  }

  async close(): Promise<void> {
    await this.predecessor.fake.close();
    rmSync(this.dir, { recursive: true });
  }

  person(user: string): FakePerson {
    const person = this.people.get(user) ?? this.predecessor.addPerson(`${user}@example.org`);
    this.people.set(user, person);
    return person;
  }

  project(
    user: string,
    workspace: string,
    secrets: Readonly<Record<string, string>> = {},
    environment = 'prod',
  ) {
    const project = this.predecessor.addProject(`${workspace}-${user}`, this.person(user));
    for (const [name, value] of Object.entries(secrets))
      this.predecessor.addSecret(project, environment, name, value);
    return project;
  }

  usersList(): unknown {
    const items = [...this.people]
      .filter(([user]) => !this.deleted.has(user))
      .map(([user, { email }]) => ({ metadata: { name: user }, spec: { email } }));
    return { items };
  }

  async run(options: RunOptions = {}): Promise<MigrationReport> {
    const { users = [], dryRun = false, resume = false, time = new SystemMonotonicTime() } = options;
    const { signal = new AbortController().signal, target = this.store } = options;
    const { fake, jwtSecret } = this.predecessor;
    const { clientId, clientSecret } = fake.identity;
    const plan = planOf(parseInventory(this.predecessor.inventory()), parseUsers(this.usersList()), users);
    const state = await MigrationState.open(this.stateFile, {
      source: fake.url,
      target: options.targetName ?? 'a store',
      dryRun,
      resume,
    });
    const login = { clientId, clientSecret };
    const key = options.withoutKey ? undefined : (options.jwtSecret ?? jwtSecret);
    const server = new PredecessorServer(
      { url: fake.url, login, jwtSecret: key, requestTimeoutMs: options.requestTimeoutMs ?? 30_000 },
      { clock: new SystemClock(), time, log: () => undefined, signal },
    );
    const copier = new SecretCopier(target, time, dryRun, signal);
    const progress = options.moved ?? (() => undefined);
    try {
      const outcome = await migrate(plan, { server, copier, state, signal, progress });
      const report = reportOf(plan, outcome, dryRun);
      if (report.failure === undefined && report.rolesLeft.length === 0) await state.remove();
      return report;
    } finally {
      server.close();
    }
  }

  /** What our store has, as `user workspace environment name` → value. */
  async stored(
    ...scopes: readonly (readonly [user: string, workspace: string])[]
  ): Promise<Record<string, string>> {
    const all: Record<string, string> = {};
    for (const [user, workspace] of scopes)
      for (const environment of ENVIRONMENTS) {
        const scope: SecretScope = { user, workspace, environment };
        for (const { name, value } of (await this.store.list(scope)).secrets)
          all[`${user} ${workspace} ${environment} ${name}`] = value;
      }
    return all;
  }
}

export interface RunOptions {
  readonly users?: readonly string[];
  readonly dryRun?: boolean;
  readonly resume?: boolean;
  readonly time?: MonotonicTime;
  readonly signal?: AbortSignal;
  readonly target?: SecretTarget;
  readonly targetName?: string;
  readonly jwtSecret?: string;
  readonly withoutKey?: boolean;
  readonly requestTimeoutMs?: number;
  readonly moved?: (environments: number) => void;
}
