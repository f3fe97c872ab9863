import type { AuditSink } from '../../src/audit/audit-sink';
import { listenForMetrics } from '../../src/bootstrap/application';
import type { MonotonicTime } from '../../src/time/clock';
import type { Settings } from '../../src/config/settings';
import type { CacheSettings } from '../../src/config/store-settings';
import type { GrantSource } from '../../src/authz/grant-source';
import type { LogEvent } from '../../src/logging/log';
import type { CompleteSecretStore } from '../../src/secrets/secret-store';
import type { Registration } from '../../src/registration/registered-objects';
import { startTelemetry } from '../../src/telemetry/telemetry.module';
import { exampleApps, OTMOICLP } from './example-apps';
import { FakeInfisical } from './fake-infisical/fake-infisical';
import { httpCall, type Answer } from './http-call';
import { RunningClock } from './running-clock';
import { startService, TEST_SETTINGS, type Service } from './service';
import { accessToken, userToken } from './tokens';
import { UNLIMITED_CONNECTIONS } from './unlimited-connections';

export interface ObservedParts {
  readonly registration?: Registration;
  readonly settings?: Partial<Settings>;
  /** In place of a store on a fake Infisical. */
  readonly store?: CompleteSecretStore;
  readonly grantSource?: GrantSource;
  readonly time?: MonotonicTime;
  readonly auditSink?: AuditSink;
  /** Around the store on the fake Infisical. */
  readonly cache?: CacheSettings;
}

/** The whole service with its telemetry, as the settings demand, in front of a fake Infisical. */
export class ObservedService {
  private constructor(
    readonly fake: FakeInfisical,
    readonly clock: RunningClock,
    readonly service: Service,
    private readonly parts: {
      readonly metricsPort: number | undefined;
      readonly logged: readonly string[];
    },
  ) {}

  /** The log of the telemetry itself. */
  get logged(): readonly string[] {
    return this.parts.logged;
  }

  static async start(parts: ObservedParts = {}): Promise<ObservedService> {
    const fake = await FakeInfisical.start({ apiVersion: 'v3', rateLimits: true });
    const { clientId, clientSecret } = fake.identity;
    const clock = new RunningClock();
    const logged: string[] = [];
    const log: LogEvent = (_level, event) => logged.push(event);
    const credentials = { url: fake.url, clientId, clientSecret };
    const settings: Settings = {
      ...TEST_SETTINGS,
      store: { kind: 'infisical', ...credentials, timeoutMs: 5_000, ...pick(parts.cache) },
      metrics: { host: '127.0.0.1', port: 0 },
      ...parts.settings,
    };
    const telemetry = await startTelemetry(settings, clock, log);
    const { cache: _cache, settings: _settings, ...given } = parts;
    const service = await startService(
      { grantSource: exampleApps(), connectionBounds: UNLIMITED_CONNECTIONS, ...given, clock, telemetry },
      settings,
    );
    const metricsPort = await listenForMetrics(service.app);
    return new ObservedService(fake, clock, service, { metricsPort, logged });
  }

  get metricsUrl(): string {
    return `http://127.0.0.1:${this.parts.metricsPort}`;
  }

  async headers(user = 'alice', app = 'otmoiclp'): Promise<Record<string, string>> {
    return {
      'x-authorization': await userToken(user, this.clock.nowMs()),
      'x-access-token': await accessToken(app, user, OTMOICLP.ops, this.clock.nowMs()),
    };
  }

  async call(target: string, body: unknown, more: Record<string, string> = {}): Promise<Answer> {
    const headers = { ...(await this.headers()), ...more };
    return httpCall(`${this.service.url}/${target}`, { headers, body });
  }

  /** The text of `/metrics`. */
  async scrape(): Promise<string> {
    const { status, text } = await httpCall(`${this.metricsUrl}/metrics`, { method: 'GET' });
    if (status !== 200) throw new Error(`/metrics answers ${status}`);
    return text;
  }

  /** Returns the value of one series, such as `osp_requests_total{op="ListSecret",code="200"}`; undefined where there is none. */
  async value(series: string): Promise<number | undefined> {
    return valueIn(await this.scrape(), series);
  }

  async close(): Promise<void> {
    await this.service.close();
    await this.fake.close();
  }
}

function pick(cache: CacheSettings | undefined) {
  return cache === undefined ? {} : { cache };
}

export function valueIn(text: string, series: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1).replace('Inf', 'Infinity'));
}

/** Returns all series but those whose number depends on the library or on time. */
export function seriesOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('osp_'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')));
}
