import { hash } from 'bcrypt';
import { type AuditRecord, AuditSink, AuditSinkFailed } from '../../src/audit/audit-sink';
import { PeerVerifier } from '../../src/authn/peer-verifier';
import { UserDirectory } from '../../src/authn/tokens';
import { grantKey, SECRET_OPERATIONS } from '../../src/authz/grant';
import { listenForMetrics } from '../../src/bootstrap/application';
import type { Settings } from '../../src/config/settings';
import { IdentityUnavailable } from '../../src/errors/request-errors';
import { startTelemetry } from '../../src/telemetry/telemetry.module';
import { Canaries, canary } from '../support/canaries';
import { FakeCollector } from '../support/fake-collector';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { type Answer, answerChecks, type Call, httpCall } from '../support/http-call';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';
import { RunningClock } from '../support/running-clock';
import { type Service, startService, TEST_SETTINGS } from '../support/service';
import { StatedUsers } from '../support/stated-users';
import { accessToken, userToken } from '../support/tokens';

const IN_CLUSTER: Settings['grants'] = { kind: 'kubernetes', feeds: ['application-permissions'], environment: {}, maxAgeMs: 600_000, audience: 'a', trustedServiceAccounts: [], systemServerProof: 'address', systemEventServiceAccounts: [], settingsServiceAccounts: [], olares: { release: 'up-to-1.12.0', leftovers: 'deny' }, staticGrants: [] }; // prettier-ignore
const WORKSPACE = 'notes';
/** Longer than a fragment in any form. */
const OVERLAP = 100;
const OPS = SECRET_OPERATIONS.map((operation) => grantKey(operation, WORKSPACE));

class SwitchedSink extends AuditSink {
  readonly records: AuditRecord[] = [];
  fails = false;
  async append(record: AuditRecord): Promise<void> {
    if (this.fails) throw new AuditSinkFailed('ENOSPC');
    this.records.push(record);
  }
  async close(): Promise<void> {}
}

class SwitchedDirectory extends UserDirectory {
  fails = false;
  async accepts(): Promise<boolean> {
    if (this.fails) throw new IdentityUnavailable();
    return true;
  }
}

/** Believes one bearer of system events, and Settings while a test says so. */
class StatedPeers extends PeerVerifier {
  isSettings = true;
  constructor(private readonly sender: string) {
    super();
  }
  provesSystemServer(): boolean {
    return false;
  }
  async trustedServiceAccountOf(): Promise<undefined> {}
  async provesEventSender({ bearer }: { readonly bearer: string | undefined }): Promise<boolean> {
    return bearer === this.sender;
  }
  async provesSettings(): Promise<boolean> {
    return this.isSettings;
  }
}

/** The service with every output that it has, and a canary in every credential and value. */
export class CanaryService {
  readonly canaries = new Canaries();
  readonly store = new MemorySecretStore();
  readonly audit = new SwitchedSink();
  readonly directory = new SwitchedDirectory();
  readonly sender = this.canaries.make('the token of who sends events');
  readonly peers = new StatedPeers(this.sender);
  readonly app = { app: 'notes', user: 'alice', appKey: this.#make('app key', 24), appSecret: this.#make('app secret', 24), ops: OPS }; // prettier-ignore
  readonly others = { ...this.app, user: 'bob', appKey: this.#make("bob's app key", 24), appSecret: this.#make("bob's app secret", 24) }; // prettier-ignore
  readonly grants = new FixedGrantSource([this.app, this.others]);
  readonly #clock = new RunningClock();
  readonly #userKey = Buffer.from(this.canaries.make('USER_TOKEN_SECRET'));
  readonly #accessKey = Buffer.from(this.canaries.make('ACCESS_TOKEN_KEY'));
  readonly #auditKey = Buffer.from(this.#make('AUDIT_KEY', 32));
  /** What was printed beside the log. */
  #printed = '';
  readonly #answers: string[] = [];
  /** How much of each output was searched. */
  readonly #searched = new Map<string, number>();
  collector!: FakeCollector;
  service!: Service;
  #metricsPort: number | undefined;
  #values = 0;

  async start(): Promise<void> {
    this.#listen();
    this.collector = await FakeCollector.start();
    const settings: Settings = {
      ...TEST_SETTINGS,
      grants: IN_CLUSTER,
      settingsRoutes: 'service-accounts',
      userToken: { secret: this.#userKey, required: true },
      accessTokenKey: this.#accessKey,
      audit: { sinks: 'stdout', key: this.#auditKey, deadlineMs: 5_000 },
      metrics: { host: '127.0.0.1', port: 0 },
      traces: { endpoint: this.collector.url, share: 1 },
    };
    const telemetry = await startTelemetry(settings, this.#clock, () => undefined);
    const { store, grants: grantSource, directory: userDirectory, peers: peerVerifier } = this;
    const deletionJobs = new MemoryDeletionJobStorage();
    const adapters = { clock: this.#clock, store, grantSource, userDirectory, peerVerifier, deletionJobs, auditSink: this.audit, telemetry, users: new StatedUsers() }; // prettier-ignore
    this.service = await startService(adapters, settings);
    // The store fails here as no store does, so some of the answers are in no document.
    answerChecks.delete(this.service.url);
    this.#metricsPort = await listenForMetrics(this.service.app);
  }

  async close(): Promise<void> {
    await this.service.close();
    await this.collector.close();
  }

  /** A new value, with characters that every encoding escapes. */
  value(): string {
    const what = `value ${(this.#values += 1)}`;
    return this.canaries.plant(what, `${canary(what).slice(0, 20)}"\\é ${canary(`${what} again`).slice(0, 20)}`); // prettier-ignore
  }

  /** Credentials of the app of a user, each made anew. */
  async headers(user = 'alice', app = 'notes'): Promise<Record<string, string>> {
    const nowMs = this.#clock.nowMs();
    const users = await userToken(user, nowMs, { key: this.#userKey, claims: { jid: canary(`${this.#values}`) } }); // prettier-ignore
    const apps = await accessToken(app, user, OPS, nowMs, { key: this.#accessKey });
    return {
      'x-authorization': this.canaries.plantToken('user token', users),
      'x-access-token': this.canaries.plantToken('access token', apps),
    };
  }

  /** Sends a request whose answer may hold no secret but `owned`. */
  async send(path: string, call: Call, owned?: string): Promise<Answer> {
    const answer = await httpCall(`${this.service.url}${path}`, call);
    const text = `${JSON.stringify(answer.headers)}${answer.text}`;
    // The owner's own value is taken out in the form in which JSON writes it.
    this.received(owned === undefined ? text : text.replaceAll(JSON.stringify(owned).slice(1, -1), ''));
    return answer;
  }

  /** Keeps an answer in which a secret would be a leak. */
  received(text: string): void {
    this.#answers.push(text);
  }

  async operate(
    operation: string,
    body: unknown,
    more: Call['headers'] = {},
    owned?: string,
  ): Promise<Answer> {
    const headers = { ...(await this.headers()), ...more };
    return this.send(`/${operation}?workspace=${WORKSPACE}`, { headers, body }, owned);
  }

  /** Asks for an access token. @param secret the app's, or another */
  async access(secret = this.app.appSecret, ops: readonly string[] = OPS): Promise<Answer> {
    const timestamp = Math.floor(this.#clock.nowMs() / 1000);
    const proof = await hash(`${this.app.appKey}${timestamp}${secret}`, 10);
    this.canaries.plant('proof', proof);
    const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops };
    const answer = await httpCall(`${this.service.url}/permission/v1alpha1/access`, { body: { app_key: this.app.appKey, timestamp, token: proof, perm } }); // prettier-ignore
    const token: unknown = answer.body.data?.access_token;
    if (typeof token === 'string') this.canaries.plantToken('issued token', token);
    else this.received(answer.text);
    return answer;
  }

  /** Returns every output so far, by name. */
  async outputs(): Promise<Readonly<Record<string, string>>> {
    const metrics = await httpCall(`http://127.0.0.1:${this.#metricsPort}/metrics`, { method: 'GET' });
    return {
      log: this.service.log(),
      audit: JSON.stringify(this.audit.records),
      metrics: metrics.text,
      traces: this.collector.bodies.join('\n'),
      answers: this.#answers.join('\n'),
      printed: this.#printed,
      title: `${process.title} ${process.argv.join(' ')}`,
    };
  }

  /** Returns every leak since the last call, as `<output>: <what> <form>`. */
  async leaks(): Promise<readonly string[]> {
    const outputs = Object.entries(await this.outputs());
    return outputs.flatMap(([name, text]) => {
      const isWhole = name === 'metrics' || name === 'title';
      const from = isWhole ? 0 : Math.max(0, (this.#searched.get(name) ?? 0) - OVERLAP);
      this.#searched.set(name, text.length);
      return this.canaries.leaksIn(text.slice(from)).map((what) => `${name}: ${what}`);
    });
  }

  /** Keeps what is written to standard output and to standard error. */
  #listen(): void {
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream);
      jest.spyOn(stream, 'write').mockImplementation((chunk, ...rest) => {
        this.#printed += String(chunk);
        return write(chunk, ...(rest as []));
      });
    }
  }

  #make(what: string, length: number): string {
    return this.canaries.plant(what, canary(what).slice(0, length));
  }
}
