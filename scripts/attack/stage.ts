import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GrantsFolder } from '../../test/grant-sources/grants-folder';
import type { AttackingApp, Target } from '../../test/support/attacks/attack-connection';
import { TestAuthority } from '../../test/support/certificates';
import { httpCall, type Answer } from '../../test/support/http-call';
import { ACCESS_TOKEN_KEY, USER_TOKEN_SECRET } from '../../test/support/tokens';
import { Child } from '../bench/processes/child';
import type { InfisicalServer } from '../bench/processes/infisical-server';
import { LOGIN } from '../bench/processes/login';
import { AttackedCluster } from './attacked-cluster';
import { AttackedService } from './attacked-service';
import type { Attacker } from './processes/attacker';
import type { ControlServer } from './processes/control-server';
import type { WellBehavedApp, WellBehavedJob } from './processes/well-behaved-app';
import type { Scenario, ServiceConditions } from './scenarios';
import { ATTACKERS, credentialsOf, WELL_BEHAVED, type Tenant } from './tenants';

/** Values of 500 kB, whose list has nearly 7 MiB. */
const LARGE_VALUE = 'x'.repeat(500_000);
const LARGE_VALUES = 14;
/** How many tokens of one attacker's user there are, where LLDAP is asked about each. */
const TOKENS = 200;

/** Runs the service with its dependencies, and the well-behaved app and the attacker as processes of their own. */
export class Stage {
  readonly #folder = new GrantsFolder([WELL_BEHAVED, ...ATTACKERS]);
  readonly #data = mkdtempSync(join(tmpdir(), 'attacked-'));
  readonly #authority = new TestAuthority();
  #settings: Readonly<Record<string, string>> = {};
  #lldap: Server | undefined;
  #infisical: Child<InfisicalServer> | undefined;
  #cluster: AttackedCluster | undefined;
  #service: AttackedService | undefined;
  readonly attacker: Child<Attacker>;
  readonly wellBehaved: Child<WellBehavedApp>;
  readonly #control: Child<ControlServer>;

  /**
   * @param main the entry point of the service
   * @param built the folder that scripts/ was compiled to
   */
  constructor(
    private readonly conditions: ServiceConditions,
    private readonly main: string,
    private readonly built: string,
  ) {
    const processes = join(built, 'attack/processes');
    this.attacker = new Child<Attacker>(join(processes, 'attacker.js'), { detached: true });
    this.#control = new Child<ControlServer>(join(processes, 'control-server.js'), { detached: true });
    this.wellBehaved = new Child<WellBehavedApp>(join(processes, 'well-behaved-app.js'), { detached: true });
  }

  get service(): AttackedService {
    if (this.#service === undefined) throw new Error('the service was not started');
    return this.#service;
  }

  /** @throws NoMemoryCgroup */
  async start(): Promise<void> {
    this.#settings = {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: '0',
      METRICS_PORT: '0',
      LOG_LEVEL: 'info',
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      ...(await this.#storeSettings()),
      ...(await this.#grantSettings()),
      ...(await this.#lldapSettings()),
      ...(this.conditions.tls === true && this.#tlsSettings()),
      ...this.conditions.settings,
    };
    this.#service = await AttackedService.start(this.main, this.#settings);
    await this.#seed();
  }

  /** Starts the service again where it has ended, as Kubernetes would. */
  async revive(): Promise<void> {
    if (this.#service?.hasEnded !== true) return;
    await this.#service.end();
    this.#service = await AttackedService.start(this.main, this.#settings);
  }

  async target({ addresses = 1 }: Scenario, seconds: number): Promise<Target> {
    const { lldapMs, tls = false } = this.conditions;
    const [first = WELL_BEHAVED] = ATTACKERS;
    const tenants = lldapMs === undefined ? ATTACKERS : Array.from({ length: TOKENS }, () => first);
    return {
      port: this.service.port,
      metricsPort: this.service.metricsPort,
      from: Array.from({ length: addresses }, (_, at) => `127.0.0.${at + 2}`),
      seconds,
      apps: await Promise.all(tenants.map(credentialsOf)),
      victim: WELL_BEHAVED,
      grantsDir: this.#folder.dir,
      tls,
    };
  }

  async job({ proofs = false }: Scenario, seconds: number, perSecond: number): Promise<WellBehavedJob> {
    const { port, metricsPort } = this.service;
    const { tls = false } = this.conditions;
    const { workspace, headers } = await credentialsOf(WELL_BEHAVED);
    return {
      ...{
        port,
        metricsPort,
        controlPort: await this.#control.ask('port'),
        seconds,
        perSecond,
        workspace,
        headers,
        tls,
      },
      ...(proofs && { proof: WELL_BEHAVED }),
      ...this.#cluster?.proxied(seconds * perSecond),
    };
  }

  /** Returns 0 where the app that attacked is served again, or else the milliseconds after which the refusal by its own limit lets it come again. */
  async attackerWaitMs(): Promise<number | undefined> {
    const [attacker = WELL_BEHAVED] = ATTACKERS;
    const credentials = await credentialsOf(attacker);
    const answer = await this.#call(credentials, 'RetrieveSecret', { name: 's0' }).catch(() => undefined);
    if (answer?.status === 200) return 0;
    if (answer?.status !== 429) return undefined;
    const retryAfter = Number(answer?.headers['retry-after']);
    return retryAfter > 0 ? retryAfter * 1000 : undefined;
  }

  async clear(): Promise<void> {
    const beside = [this.attacker, this.wellBehaved, this.#control, this.#infisical];
    await Promise.all(beside.map(async (child) => child?.end()));
    await this.#service?.end();
    await this.#cluster?.stop();
    this.#lldap?.closeAllConnections();
    this.#lldap?.close();
    this.#folder.dispose();
    rmSync(this.#data, { recursive: true });
  }

  async #call({ headers, workspace }: AttackingApp, operation: string, body: object): Promise<Answer> {
    const scheme = this.conditions.tls === true ? 'https' : 'http';
    const url = `${scheme}://127.0.0.1:${this.service.port}/${operation}?workspace=${workspace}`;
    const tls = { ca: this.#authority.cert };
    return httpCall(url, { headers, body, from: '127.0.0.2', ...(scheme === 'https' && { tls }) });
  }

  async #storeSettings(): Promise<Readonly<Record<string, string>>> {
    if (this.conditions.store === 'embedded') return { DATA_DIR: this.#data, MASTER_KEY: 'm'.repeat(64) };
    const script = join(this.built, 'bench/processes/infisical-server.js');
    this.#infisical = new Child<InfisicalServer>(script, {}, ['v3']);
    await this.#infisical.ask('answerAtOnce', true);
    return {
      INFISICAL_URL: await this.#infisical.ask('url'),
      INFISICAL_CLIENT_ID: LOGIN.clientId,
      INFISICAL_CLIENT_SECRET: LOGIN.clientSecret,
    };
  }

  async #grantSettings(): Promise<Readonly<Record<string, string>>> {
    if (this.conditions.cluster !== true) return { GRANTS_DIR: this.#folder.dir };
    this.#cluster = await AttackedCluster.start();
    return this.#cluster.settings(this.#data);
  }

  async #lldapSettings(): Promise<Readonly<Record<string, string>>> {
    const { lldapMs } = this.conditions;
    if (lldapMs === undefined) return {};
    const server = createServer((request, response) => {
      request.resume();
      setTimeout(() => response.end('{"status":"ok"}'), lldapMs);
    });
    this.#lldap = server;
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return { LLDAP_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  #tlsSettings(): Readonly<Record<string, string>> {
    const { cert, key } = this.#authority.certificateFor('127.0.0.1');
    const files = { TLS_CERT_FILE: join(this.#data, 'cert.pem'), TLS_KEY_FILE: join(this.#data, 'key.pem') };
    writeFileSync(files.TLS_CERT_FILE, cert);
    writeFileSync(files.TLS_KEY_FILE, key);
    return files;
  }

  /** Stores ten small secrets of the well-behaved app, and of each attacker one, or as many large ones as its workspace may hold. */
  async #seed(): Promise<void> {
    const isLarge = this.conditions.largeWorkspaces === true;
    const [count, value] = isLarge ? [LARGE_VALUES, LARGE_VALUE] : [1, 'v'];
    await this.#store(WELL_BEHAVED, 10, 'v'.repeat(200));
    await this.#store(WELL_BEHAVED, 10, 'v'.repeat(200), 'dev');
    // As a person could in Infisical's page, where our quotas do not apply.
    const [secrets, valueBytes] = [count, value.length];
    const large = ATTACKERS.map(({ user, workspace }) => ({ user, workspace, secrets, valueBytes }));
    if (this.#infisical !== undefined) await this.#infisical.ask('seed', large);
    else for (const attacker of ATTACKERS) await this.#store(attacker, count, value);
  }

  /** Stores secrets until they are all stored or the workspace is full. */
  async #store(tenant: Tenant, count: number, value: string, env = 'prod'): Promise<void> {
    // The same for all of them, so that a slow LLDAP is asked once.
    const credentials = await credentialsOf(tenant);
    for (let at = 0; at < count; at++) {
      const { status, text } = await this.#call(credentials, 'CreateSecret', { name: `s${at}`, value, env });
      if (status === 507) return;
      if (status !== 200) throw new Error(`a secret was not stored: ${status} ${text.slice(0, 200)}`);
    }
  }
}
