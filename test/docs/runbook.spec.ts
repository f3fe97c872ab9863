import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { listenForMetrics } from '../../src/bootstrap/application';
import type { Settings } from '../../src/config/settings';
import { TooManyRequests } from '../../src/errors/request-errors';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { createLog, logEvent } from '../../src/logging/log';
import { startTelemetry } from '../../src/telemetry/telemetry.module';
import { IdentityDependency } from '../../src/authn/identity-dependency';
import { LldapUserDirectory } from '../../src/lldap/lldap.user-directory';
import { SystemClock, SystemMonotonicTime } from '../../src/time/clock';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';
import { clusterLog } from './cluster-log';
import { infisicalLog } from './infisical-log';

const PAGE = readFileSync(join(__dirname, '../../docs/runbook.md'), 'utf8');
/** Every line of its blocks that is no comment, and every command inside of a sentence. */
const blocks = [...PAGE.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, text = '']) =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
);
const inline = [...PAGE.matchAll(/`((?:kubectl|npm|helm|curl|grep|redis-cli)(?: [^`]+))`/g)]
  .map(([, command = '']) => command)
  // As it is introduced, and what `npm run infisical:setup` is: test/process/infisical-setup.spec.ts runs those.
  .filter((command) => !/^(kubectl -n <|npm run infisical:setup|helm (upgrade|rollback)$)/.test(command));
const commands = [...new Set([...blocks, ...inline])].filter((command) => !command.startsWith('npm run '));

/** What stands behind `kubectl` here: the pods' log, and what is in the cluster; test/helm/monitoring.spec.ts holds both to the chart. */
const KUBECTL = `#!/bin/sh
PODS=app.kubernetes.io/instance=vault,app.kubernetes.io/component=service
case "$*" in
  "logs -l $PODS --tail=-1 --since=1h" | "logs --previous") cat "$LOG" ;;
  "port-forward svc/vault-metrics 9464") ;;
  "apply -f secret.yaml") echo configured ;;
  "get pods" | "get pods -A -o wide" | "describe pod") echo found ;;
  "get applicationpermissions.sys.bytetrade.io -A" | "get configmaps -A -l secrets.olares.com/manifest=true") echo found ;;
  "rollout restart deployment/vault" | "rollout restart statefulset/vault") echo restarted ;;
  "patch pvc data-vault-0 -p {\\"spec\\":{\\"resources\\":{\\"requests\\":{\\"storage\\":\\"5Gi\\"}}}}") echo patched ;;
  "get pvc data-vault-0 -o jsonpath="*) echo found ;;
  "delete statefulset vault --cascade=orphan" | "delete pod vault-0") echo deleted ;;
  "exec vault-0 -- node -e "*) shift 3; exec "$@" ;;
  "get customresourcedefinitions providerregistries.sys.bytetrade.io -o yaml") echo found ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
`;

describe('docs/runbook.md', () => {
  const dir = mkdtempSync(join(tmpdir(), 'runbook-'));
  const [kubectl, logFile, grantsDir] = [join(dir, 'kubectl'), join(dir, 'log'), join(dir, 'apps')];
  let log = '';
  let service: Service;
  let metricsPort: number | undefined;
  let close: () => Promise<void>;

  /** A denial, a refused proof, a store that is away and an LLDAP that is away, as the service logs them. */
  beforeAll(async () => {
    mkdirSync(grantsDir);
    mkdirSync(join(dir, 'data/vault/lost'), { recursive: true });
    writeFileSync(join(dir, 'data/vault/lost/000003.ldb'), Buffer.alloc(3_500_000, 1));
    const nobody = await FakeInfisical.start({ apiVersion: 'v3' });
    const settings: Settings = {
      ...TEST_SETTINGS,
      responseStyle: 'sidecar',
      grants: { kind: 'directory', dir: grantsDir },
      store: {
        kind: 'embedded',
        dataDir: join(dir, 'data'),
        maxDiskReserveBytes: 0,
        masterKey: Buffer.alloc(32, 1),
      },
      metrics: { host: '127.0.0.1', port: 0 },
    };
    const lldap = { url: nobody.url, timeoutMs: 1_000 };
    await nobody.close();
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        log += chunk.toString('utf8');
        done();
      },
    });
    const [clock, time, logged] = [
      new SystemClock(),
      new SystemMonotonicTime(),
      logEvent(createLog('info', sink)),
    ];
    const telemetry = await startTelemetry(settings, clock, logged);
    // LLDAP is away, and the calls are answered all the same.
    const deps = { time, log: logged, observer: telemetry.dependencies };
    new LldapUserDirectory(lldap, clock, time, new IdentityDependency('lldap', deps));
    const store = new MemorySecretStore();
    service = await startService({ clock, store, grantSource: exampleApps(), telemetry }, settings);
    metricsPort = await listenForMetrics(service.app);
    await calls(store);
    await eventually(() => expect(log).toContain('dependency_lost'));
    log += service.log() + (await clusterLog()) + (await infisicalLog());
    writeFileSync(logFile, log);
    writeFileSync(kubectl, KUBECTL);
    chmodSync(kubectl, 0o755);
    close = async () => {
      await service.close();
    };
  });
  afterAll(async () => {
    await close();
    rmSync(dir, { recursive: true });
  });

  async function calls(store: MemorySecretStore): Promise<void> {
    const headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, Date.now()),
    };
    await httpCall(`${service.url}/ListSecret?workspace=foreign`, { headers, body: {} });
    await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { body: {} });
    const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: OTMOICLP.ops };
    const body = { app_key: OTMOICLP.appKey, timestamp: 1, token: `$2b$10$${'a'.repeat(53)}`, perm };
    await httpCall(`${service.url}/permission/v1alpha1/access`, { body });
    store.failure = new TooManyRequests(7);
    await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
    store.failure = new StoreUnavailable();
    await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
  }

  /** What the command prints, run as it is written but for the release's name, a free port and the folder of a store. */
  const found = async (command: string): Promise<string> => {
    const line = command
      .replaceAll('<release>', 'vault')
      .replace(':9464/', `:${metricsPort}/`)
      .replaceAll('/data', `${dir}/data`);
    const env = { ...process.env, PATH: `${dir}:${process.env['PATH'] ?? ''}`, LOG: logFile };
    return (await promisify(execFile)('sh', ['-c', line], { env, timeout: 10_000 })).stdout;
  };

  it('has commands for the log, for readiness and for the cluster', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(7);
    expect(commands.filter((command) => command.includes('kubectl logs')).length).toBeGreaterThanOrEqual(6);
    expect(commands.join('\n')).toMatch(/curl .*readyz[\s\S]*kubectl get pods/);
  });

  it('names the claim and the pod of the embedded store as the chart does, whose template nobody may change', () => {
    const workload = readFileSync(join(__dirname, '../../helm/templates/workload.yaml'), 'utf8');
    const [, template = ''] = /volumeClaimTemplates:\n +- metadata: \{ name: (\w+) \}/.exec(workload) ?? [];
    expect(PAGE).toContain(`kubectl patch pvc ${template}-<release>-0 `);
    expect(PAGE).not.toMatch(/[Ee]nlarge[^.]*`embedded\.size`/);
  });

  it.each(commands)('has a command that finds what it looks for: %s', async (command) => {
    expect(await found(command)).not.toBe('');
  });

  it('finds the failures by level, reason and code, and the cause of a refused proof', async () => {
    const all = await Promise.all(commands.filter((one) => one.includes('kubectl logs')).map(found));
    for (const part of ['NOT_GRANTED', 'UNAUTHENTICATED', 'STORE_UNAVAILABLE', 'otmoiclp', 'clock_skew'])
      expect(all.join('')).toContain(part);
  });

  it.each([
    ['"level":"(warn|error)"', /"level":"error"[^\n]*request_completed/],
    ['"code":5', /"code":503/],
    ['dependency_(lost|recovered)', /"dependency":"lldap","reason":"\w+"/],
    ['"reason":"[A-Z_]+"\' | sort', /^ +\d+ "reason":"STORE_UNAVAILABLE"$/m],
    [
      'organization_(mismatch',
      /INFISICAL_ORGANIZATION_ID is not the organization[\s\S]*organization role member/,
    ],
    ['readyz', /"problems":/],
    ['"code":429', /^ +\d+ "workspace":"otmoic"$/m],
    ['environment_slug_held', /"environment":"staging"[^\n]*"advice":"restore/],
    ['environment_slug_held', /"said":"Environment slug/],
    ['(call|ping)_failed', /^ +\d+ "reason":"notInfisical"$/m],
    ['value_unreadable', /"name":"damaged"/],
    ['kubectl exec', /^vault 4$/m],
  ])('finds by %s the very thing', async (part, expected) => {
    const [command = ''] = commands.filter((one) => one.includes(part));
    expect(await found(command)).toMatch(expected);
  });

  it('greps for levels by their words, as the log has them', () => {
    expect(log).toMatch(/"level":"warn"/);
    expect(PAGE).not.toMatch(/"level":\s*\d/);
  });
});
