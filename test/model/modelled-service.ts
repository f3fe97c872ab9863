import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { grantKey } from '../../src/authz/grant';
import { type AuditRecord, AuditSink, AuditSinkFailed } from '../../src/audit/audit-sink';
import { SecretStore } from '../../src/secrets/secret-store';
import { ENVIRONMENTS, scopeKeyOf, type SecretScope, UNATTENDED } from '../../src/secrets/secret';
import { httpCall } from '../support/http-call';
import { FixedClock } from '../support/fixed-clock';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { type Service, startService } from '../support/service';
import { HeldResources } from './held-resources';
import { httpClient, type ModelClient, useCaseClient, WORKSPACES } from './model-clients';
import { type ModelledBackend, spiedFault } from './modelled-backends';
import {
  type CompletedCommand,
  MAX_SECRETS_OF_USER,
  MAX_SECRETS_OF_WORKSPACE,
  type ModelCommand,
  type SecretsModel,
} from './secrets-model';
import { requireAttempts, requireGrants, SpiedSecretStore, type StoreCall } from './spied.secret-store';

/** Commands that run at the same time, and what happens meanwhile. */
export interface ConcurrentCommands {
  readonly commands: readonly ModelCommand[];
  /** A fault that begins before them; `heal` ends it, and without either it stays as it is. */
  readonly storeFault?: number | 'heal';
  readonly auditFails: boolean;
  /** The grants of each app of a user, set in the midst of the commands; absent where they stay. */
  readonly grants?: Grants;
  /** The process ends in the midst of commands over HTTP, otherwise after them, and starts again. */
  readonly restarts: boolean;
  /** How much time passes afterwards. */
  readonly passMs: number;
}

/** The grants by app and user. */
export type Grants = readonly {
  readonly app: string;
  readonly user: string;
  readonly ops: readonly string[];
}[];

const QUOTAS = {
  workspace: { secrets: MAX_SECRETS_OF_WORKSPACE, bytes: Infinity },
  user: { secrets: MAX_SECRETS_OF_USER, bytes: Infinity },
};
/** The longest `Retry-After` of modelled-backends.ts. */
const MAX_RETRY_AFTER_MS = 60_000;
const RECOVERY_STEP_MS = 5_000;
const MAX_RECOVERY_STEPS = 40;

class ModelAuditSink extends AuditSink {
  records: AuditRecord[] = [];
  fails = false;

  async append(record: AuditRecord): Promise<void> {
    if (this.fails) throw new AuditSinkFailed('ENOSPC');
    this.records.push(record);
  }
  async close(): Promise<void> {}
}

/** The service in its own composition on a backend, with all that a run may do to it. */
export class ModelledService {
  readonly #clock = new FixedClock();
  readonly #time = new FixedMonotonicTime();
  readonly #source = new FixedGrantSource([]);
  readonly #audit = new ModelAuditSink();
  #held = new HeldResources();
  #grants: Grants = [];
  #fails = false;
  #recoveries = 0;
  readonly #calls: StoreCall[] = [];
  #spy!: SpiedSecretStore;
  #service!: Service;
  #agent!: Agent;
  #client!: ModelClient;

  constructor(
    private readonly backend: ModelledBackend,
    private readonly caller: 'http' | 'use-cases',
    /** Counts how the commands end. */
    private readonly ends: Map<string, number>,
  ) {}

  static async open(...parameters: ConstructorParameters<typeof ModelledService>): Promise<ModelledService> {
    const service = new ModelledService(...parameters);
    await service.#start();
    return service;
  }

  /**
   * Begins a run without faults.
   * @param turns awaited before and after each call of the backend
   */
  async begin(grants: Grants, turns: () => Promise<unknown>): Promise<void> {
    this.#spy.turn = () => Promise.resolve();
    this.#audit.fails = false;
    await this.#heal();
    this.#spy.turn = turns;
    this.setGrants(grants);
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.backend.remove();
  }

  /** Runs the commands and has their answers explained by the model. @throws Error for a promise that was broken */
  async run(
    { commands, storeFault, auditFails, grants, restarts, passMs }: ConcurrentCommands,
    model: SecretsModel,
  ): Promise<void> {
    if (storeFault === 'heal') await this.#heal();
    else if (storeFault !== undefined) this.#fail(storeFault);
    this.#audit.fails = auditFails;
    this.#audit.records = [];
    this.#calls.length = 0;
    const [grantsBefore, stops] = [this.#grants, restarts && this.caller === 'http'];
    const answers = commands.map(async (command): Promise<CompletedCommand> => ({ command, outcome: await this.#client(command) })); // prettier-ignore
    if (grants !== undefined) {
      await turn();
      this.setGrants(grants);
    }
    if (stops) await this.#restart();
    // All of them have ended before one that was answered wrongly ends the run.
    await Promise.allSettled(answers);
    const completed = await Promise.all(answers);
    // A connection may be closed by its client before it is accepted. They are accepted in order, so one more tells that all are.
    if (this.caller === 'http' && commands.some(({ hangsUp }) => hangsUp))
      await httpCall(`${this.#service.url}/livez`, { method: 'GET' });
    await this.#held.nothing();
    const granted = (command: ModelCommand) => {
      const [before, after] = [isGranted(grantsBefore, command), isGranted(this.#grants, command)];
      return before && after ? 'always' : before || after ? 'partly' : 'never';
    };
    requireGrants(this.#calls, commands.filter((command) => granted(command) !== 'never')); // prettier-ignore
    if (this.caller === 'http') requireAttempts(this.#calls, this.#audit.records);
    for (const { outcome } of completed) {
      const end = outcome.kind === 'refused' ? outcome.reason : outcome.kind;
      this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    }
    model.completed(completed, { storeFails: this.#fails, auditFails, stops, granted });
    this.#audit.fails = false;
    this.#pass(passMs);
    if (restarts && !stops) await this.#restart();
  }

  private setGrants(grants: Grants): void {
    this.#grants = grants;
    this.#source.set(grants);
  }

  /** Ends all faults and compares all secrets of these users with the model. @throws Error where they differ */
  async compare(users: readonly string[], model: SecretsModel): Promise<void> {
    await this.#heal();
    const store = this.#service.app.get(SecretStore);
    for (const scope of scopesOf(users)) {
      const { secrets } = await store.list(scope, UNATTENDED);
      const stored = Object.fromEntries(secrets.map(({ name, value }) => [name, value]));
      if (!model.observed(scope, stored))
        throw new Error(`${scopeKeyOf(scope)} holds ${JSON.stringify(stored)}`);
    }
    await this.#held.nothing();
    if (this.#service.log().includes('«')) throw new Error('the log holds a value');
  }

  #fail(fault: number): void {
    this.#fails = true;
    if (this.backend.faults === 0) this.#spy.fault = spiedFault(fault);
    else this.backend.fail(fault % this.backend.faults);
  }

  /** Ends the fault; the service must then recover alone. */
  async #heal(): Promise<void> {
    this.#spy.fault = undefined;
    this.backend.heal();
    // A refusal may have asked for a pause, which is kept to.
    if (this.#fails) this.#pass(MAX_RETRY_AFTER_MS);
    const store = this.#service.app.get(SecretStore);
    for (let step = 0; ; step += 1) {
      // A scope that no cache can answer for, so that a circuit breaker is closed again.
      const scope: SecretScope = {
        user: `nobody${(this.#recoveries += 1)}`,
        workspace: 'none',
        environment: 'prod',
      };
      const failed = await store.ping().then(
        () => store.list(scope, UNATTENDED).then(() => undefined, String), // prettier-ignore
        String,
      );
      if (failed === undefined) break;
      if (step === MAX_RECOVERY_STEPS) throw new Error(`the service does not recover: ${failed}`);
      this.#pass(RECOVERY_STEP_MS);
    }
    this.#fails = false;
  }

  #pass(ms: number): void {
    this.#clock.advance(ms);
    this.#time.advance(ms);
  }

  async #restart(): Promise<void> {
    await turn();
    const { turn: scheduled, fault } = this.#spy;
    await this.#stop();
    await this.#start();
    this.#spy.turn = scheduled;
    this.#spy.fault = fault;
  }

  async #stop(): Promise<void> {
    this.#agent.destroy();
    await this.#service.close();
    await this.#held.nothing();
  }

  async #start(): Promise<void> {
    const [clock, time] = [this.#clock, this.#time];
    this.#held = new HeldResources();
    const observer = this.#held.infisical;
    this.#spy = new SpiedSecretStore(await this.backend.open({ clock, time, observer }), this.#calls);
    const spy = this.#spy;
    this.#held.count('calls of the store', () => spy.callsUnderWay);
    const telemetry = this.#held;
    this.#service = await startService(
      { clock, time, backend: this.#spy, grantSource: this.#source, auditSink: this.#audit, telemetry },
      {
        quotas: QUOTAS,
        store: this.backend.store,
        audit: { sinks: 'stdout', key: new Uint8Array(32), deadlineMs: 10_000 },
      },
    );
    const agent = new Agent({ keepAlive: true });
    this.#agent = agent;
    // What a client sent before it hung up is under way until the service has seen the end of its connection.
    const connections = openConnections(this.#service);
    this.#held.count('connections that clients have closed', () => connections.size - socketsOf(agent));
    this.#client =
      this.caller === 'http'
        ? httpClient(this.#service, this.#agent, clock)
        : useCaseClient(this.#service, () => this.#audit.fails);
  }
}

function openConnections({ app }: Service): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  app.getHttpServer().on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

function socketsOf({ sockets, freeSockets }: Agent): number {
  return [sockets, freeSockets].flatMap((all) => Object.values(all)).flat().length;
}

function scopesOf(users: readonly string[]): readonly SecretScope[] {
  return users.flatMap((user) =>
    WORKSPACES.flatMap((workspace) => ENVIRONMENTS.map((environment) => ({ user, workspace, environment }))),
  );
}

function isGranted(grants: Grants, { app, operation, scope: { user, workspace } }: ModelCommand): boolean {
  const held = grants.find((one) => one.app === app && one.user === user);
  return held?.ops.includes(grantKey(operation, workspace)) === true;
}
