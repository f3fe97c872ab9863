import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { grantSet, type InstalledApp, SECRET_OPERATIONS } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../src/authz/grant-source';
import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { AccessRegistrar } from '../../src/registration/access-registrar';
import { SystemMonotonicTime } from '../../src/time/clock';

const APPS = Number(process.env['APPS'] ?? 10_000);
const OBJECTS = APPS * 4;
/** How long a first start is watched while it goes on. */
const WATCHED_MS = 20_000;

interface Seen {
  readonly reads: number;
  readonly writes: number;
  readonly roles: number;
  readonly bindings: number;
}

class ManyApps extends GrantSource {
  protected readonly index = new GrantIndex((user, app) => this.changed(user, app));

  install(at: number): InstalledApp {
    const [user, app] = [`user${at % 500}`, `app${Math.floor(at / 500)}`];
    const grants = grantSet(SECRET_OPERATIONS.map((operation) => ({ operation, workspace: `${app}-desk` })));
    const installed = { user, app, namespace: `${app}-${user}`, grants };
    this.index.put(`${user}/${app}`, installed);
    return installed;
  }

  uninstall({ user, app }: InstalledApp): void {
    this.index.remove(`${user}/${app}`);
  }

  override status(): GrantSourceStatus {
    return { ready: true, installedApps: this.index.size, problems: [] };
  }

  async close(): Promise<void> {}
}

function print(what: string, value: number | string, unit = ''): void {
  const shown = typeof value === 'number' ? value.toFixed(value < 10 ? 1 : 0) : value;
  process.stdout.write(`${what.padEnd(52)} ${shown.padStart(8)} ${unit}\n`);
}

async function seenBy(cluster: ChildProcess): Promise<Seen> {
  cluster.send({});
  const [seen] = (await once(cluster, 'message')) as [Seen];
  return seen;
}

/** How long the process could do nothing else at a time. */
function watchPauses(): () => number {
  let [longestMs, lastMs] = [0, performance.now()];
  setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs - 5);
    lastMs = performance.now();
  }, 5).unref();
  return () => {
    const so = longestMs;
    longestMs = 0;
    return so;
  };
}

async function main(): Promise<void> {
  const cluster = fork(join(__dirname, 'api-server.js'));
  const [{ url, token }] = (await once(cluster, 'message')) as [{ url: string; token: string }];
  const grants = new ManyApps();
  for (let at = 0; at < APPS; at++) grants.install(at);
  const time = new SystemMonotonicTime();
  const options = () => ({ headers: { authorization: `Bearer ${token}` } });
  const deps = { api: new KubernetesApi({ server: url, options }, time), time, log: () => undefined };
  const start = (): AccessRegistrar => {
    const endpoint = { service: 'vault', namespace: 'os-protected', port: 8080 };
    const registrar = new AccessRegistrar({ endpoint, providerName: 'secret-provider' }, grants, deps);
    registrar.start();
    return registrar;
  };
  const longestPauseMs = watchPauses();
  process.stdout.write(`${APPS} apps: ${OBJECTS} roles and bindings\n`);
  const baseMiB = process.memoryUsage.rss() / 2 ** 20;

  const first = start();
  await pause(WATCHED_MS);
  const meanwhile = await seenBy(cluster);
  print('first start: writes in 20 s', meanwhile.writes);
  print('first start: reads in 20 s', meanwhile.reads);
  const changedMs = performance.now();
  const one = grants.install(APPS);
  const before = meanwhile.roles + meanwhile.bindings;
  for (;;) {
    const name = `osp:${one.user}:${one.app}:host`;
    const path = `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${name}`;
    const isThere = await deps.api.send({ method: 'GET', path, timeoutMs: 5000 }).then(
      () => true,
      () => false,
    );
    if (isThere) break;
    await pause(5);
  }
  print('meanwhile a new grant: its four objects after', performance.now() - changedMs, 'ms');
  print('of the others there were then', before, `of ${OBJECTS}`);
  for (;;) {
    const { roles, bindings } = await seenBy(cluster);
    if (roles + bindings === OBJECTS + 4) break;
    await pause(1000);
  }
  print('first start: all of them after', (performance.now() - changedMs + WATCHED_MS) / 1000, 's');
  print('longest pause of the event loop', longestPauseMs(), 'ms');
  print('resident set, of which before', process.memoryUsage.rss() / 2 ** 20, `MiB (${baseMiB.toFixed(0)})`);
  grants.uninstall(one);
  await pause(1000);
  await first.close();

  await seenBy(cluster);
  const again = start();
  await pause(5_000);
  const started = await seenBy(cluster);
  print('another start, all there: reads', started.reads);
  print('another start, all there: writes', started.writes);
  print('longest pause of the event loop', longestPauseMs(), 'ms');
  print('roles and bindings, with the withdrawn ones gone', started.roles + started.bindings);
  await again.close();
  cluster.disconnect();
}

void main().then(() => process.exit(0));
