import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { GrantIndex } from '../../src/authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../src/authz/grant-source';
import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { AccessRegistrar } from '../../src/registration/access-registrar';
import { SystemMonotonicTime } from '../../src/time/clock';
import { APPS, appAt, OPTIONS } from './many-apps';

/** Of a first start, which takes long on purpose, so much is watched. */
const WATCHED_MS = 20_000;

interface Seen {
  readonly reads: number;
  readonly writes: number;
  readonly objects: number;
}

class ManyApps extends GrantSource {
  protected readonly index = new GrantIndex((user, app) => this.changed(user, app));

  install(at: number): { readonly user: string; readonly app: string } {
    const installed = appAt(at);
    this.index.put(`app ${at}`, installed);
    return installed;
  }

  uninstall(at: number): void {
    this.index.remove(`app ${at}`);
  }

  override status(): GrantSourceStatus {
    return { ready: true, installedApps: this.index.size, problems: [] };
  }

  async close(): Promise<void> {}
}

function print(what: string, value: number, unit = ''): void {
  process.stdout.write(`${what.padEnd(52)} ${value.toFixed(0).padStart(8)} ${unit}\n`);
}

/** How long the process could do nothing else at a time. */
function watchPauses(): () => number {
  let [longestMs, lastMs] = [0, performance.now()];
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs - 5);
    lastMs = performance.now();
  }, 5);
  return () => {
    clearInterval(timer);
    return longestMs;
  };
}

interface Opened {
  readonly cluster: ChildProcess;
  readonly grants: ManyApps;
  readonly api: KubernetesApi;
  readonly registrar: AccessRegistrar;
  readonly seen: () => Promise<Seen>;
}

async function open(state: 'empty' | 'filled'): Promise<Opened> {
  const cluster = fork(join(__dirname, 'api-server.js'), [state]);
  const [{ url, token }] = (await once(cluster, 'message')) as [{ url: string; token: string }];
  const grants = new ManyApps();
  for (let at = 0; at < APPS; at++) grants.install(at);
  const time = new SystemMonotonicTime();
  const options = () => ({ headers: { authorization: `Bearer ${token}` } });
  const api = new KubernetesApi({ server: url, options }, time);
  const registrar = new AccessRegistrar(OPTIONS, grants, {
    api,
    time,
    log: () => undefined,
    maxAgeMs: 600_000,
  });
  const seen = async () => {
    cluster.send({});
    const [answer] = (await once(cluster, 'message')) as [Seen];
    return answer;
  };
  return { cluster, grants, api, registrar, seen };
}

async function close({ cluster, registrar }: Opened): Promise<void> {
  await registrar.close();
  cluster.disconnect();
}

async function firstStart(): Promise<void> {
  const opened = await open('empty');
  const longestPauseMs = watchPauses();
  opened.registrar.start();
  await pause(WATCHED_MS);
  print('first start: longest pause of the event loop', longestPauseMs(), 'ms');
  const { reads, writes, objects } = await opened.seen();
  print(`first start: reads in ${WATCHED_MS / 1000} s`, reads);
  print(`first start: writes in ${WATCHED_MS / 1000} s`, writes);
  const changedMs = performance.now();
  const { user, app } = opened.grants.install(APPS);
  const path = `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/osp:${user}:${app}:host`;
  const isThere = (): Promise<boolean> =>
    opened.api.send({ method: 'GET', path, timeoutMs: 5000 }).then(
      () => true,
      () => false,
    );
  while (!(await isThere())) await pause(5);
  print('a new grant meanwhile: its four objects after', performance.now() - changedMs, 'ms');
  print('of the others there were then', objects, `of ${APPS * 4}`);
  await close(opened);
}

async function anotherStart(): Promise<void> {
  const opened = await open('filled');
  const baseMiB = process.memoryUsage.rss() / 2 ** 20;
  const longestPauseMs = watchPauses();
  opened.registrar.start();
  await pause(10_000);
  print('another start: longest pause of the event loop', longestPauseMs(), 'ms');
  print('another start: more resident memory', process.memoryUsage.rss() / 2 ** 20 - baseMiB, 'MiB');
  const { reads, writes } = await opened.seen();
  print('another start: reads', reads);
  print('another start: writes', writes);
  const changedMs = performance.now();
  opened.grants.uninstall(0);
  while ((await opened.seen()).objects > (APPS - 1) * 4) await pause(5);
  print('a withdrawn grant: its four objects gone after', performance.now() - changedMs, 'ms');
  await close(opened);
}

async function main(): Promise<void> {
  process.stdout.write(`${APPS} apps: ${APPS * 4} roles and bindings\n`);
  await firstStart();
  await anotherStart();
}

void main().then(() => process.exit(0));
