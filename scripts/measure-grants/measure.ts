import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SystemMonotonicTime, SystemClock } from '../../src/time/clock';
import { GrantsService } from '../../src/authz/grants.service';
import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { manifestFeed } from '../../src/grant-sources/kubernetes/manifest-feed';
import { WatchedGrantApprovals } from '../../src/grant-sources/kubernetes/watched-grant-approvals';
import type { Caller } from '../../src/authn/caller';
import { openCluster } from '../../src/kubernetes/cluster';
import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { OWN_NAMESPACE } from '../../test/support/manifest-config-map';
import { permissionOf } from '../../test/support/application-permission';
import { openPermissions, permissionsAlone } from '../../test/support/permission-feed';
import { FakeApiServer } from '../../test/support/fake-api-server/fake-api-server';
import { APPS, appOf, MANIFESTS, USERS } from './cluster-size';

const DECISIONS = 200_000;
const DECISION_ROUNDS = 11;
/** A namespace has ten changes of its manifest read at once; more would measure that bound. */
const ROUNDS = 8;
const TARGETS = { syncMs: 10_000, rssMiB: 400, inForceMs: 1_000, ratio: 1.1 };

let missed = 0;

function print(what: string, value: number, unit: string, target?: number): void {
  const shown = value < 10 ? value.toFixed(3) : value.toFixed(0);
  const verdict =
    target === undefined ? '' : value < target ? `  (< ${target}: met)` : `  (< ${target}: MISSED)`;
  if (target !== undefined && value >= target) missed += 1;
  process.stdout.write(`${what.padEnd(44)} ${shown.padStart(8)} ${unit}${verdict}\n`);
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(1);
}

/** How long the process could do nothing else at a time. */
function watchPauses(): () => number {
  let longestMs = 0;
  let lastMs = performance.now();
  setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs - 5);
    lastMs = performance.now();
  }, 5).unref();
  return () => longestMs;
}

function kubeconfig(dir: string, server: string, token: string): string {
  const path = join(dir, 'config');
  const clusters = [{ name: 'a', cluster: { server, 'insecure-skip-tls-verify': true } }];
  const contexts = [{ name: 'a', context: { cluster: 'a', user: 'a' } }];
  writeFileSync(
    path,
    JSON.stringify({ clusters, contexts, users: [{ name: 'a', user: { token } }], 'current-context': 'a' }),
  );
  return path;
}

function decide(service: GrantsService, callers: readonly Caller[]): number {
  const startedMs = performance.now();
  for (let turn = 0; turn < DECISIONS; turn++) {
    const who = callers[turn % callers.length];
    if (who) service.authorize(who, 'ListSecret', `${who.app}-desk`);
  }
  return performance.now() - startedMs;
}

/** A cluster of just these apps. */
async function sourceOf(callers: readonly Caller[]) {
  const server = await FakeApiServer.start();
  for (const { app, user } of callers) {
    const [ofUser, ofApp] = [Number(user.slice('user'.length)), Number(app.slice('app'.length))];
    server.of('applicationpermissions').put(permissionOf(appOf(ofUser, ofApp), app));
  }
  const time = new SystemMonotonicTime();
  const options = () => ({ headers: { authorization: `Bearer ${server.token}` } });
  const api = new KubernetesApi({ server: server.url, options }, time);
  const source = await openPermissions({ api, time, log: () => undefined, maxAgeMs: 600_000 });
  return {
    source,
    close: async () => {
      await source.close();
      await server.stop();
    },
  };
}

async function main(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'measure-'));
  const apiServer = fork(join(__dirname, 'api-server.js'), process.argv.slice(2));
  const [{ url, token }] = (await once(apiServer, 'message')) as [{ url: string; token: string }];
  process.env['KUBECONFIG'] = kubeconfig(dir, url, token);
  process.stdout.write(
    `${USERS} users x ${APPS} apps${MANIFESTS ? ' with manifests in ConfigMaps' : ''}, and as many namespaces\n`,
  );
  const baseMiB = process.memoryUsage.rss() / 2 ** 20;
  const longestPauseMs = watchPauses();
  let mostMiB = 0;
  setInterval(() => (mostMiB = Math.max(mostMiB, process.memoryUsage.rss() / 2 ** 20)), 20).unref();

  const startedMs = performance.now();
  const cpuBefore = process.cpuUsage();
  const options = {
    environment: process.env,
    audience: 'x',
    trustedServiceAccounts: [],
    systemServerProof: 'address' as const,
    staticGrants: [],
    systemEventServiceAccounts: [],
    settingsServiceAccounts: [],
    maxAgeMs: 600_000,
  };
  const cluster = openCluster(options, new SystemClock(), () => undefined);
  const { informerDeps, peerVerifier, namespaces: owners, close } = cluster;
  const manifests = () =>
    manifestFeed({
      owners,
      approvals: new WatchedGrantApprovals(OWN_NAMESPACE, informerDeps),
      reservedWorkspaces: new Set(),
    });
  const feeds = [MANIFESTS ? manifests() : permissionsAlone];
  const source = await KubernetesGrantSource.open(informerDeps, feeds);
  await until(() => source.status().ready);
  print('first sync of the grants', performance.now() - startedMs, 'ms', TARGETS.syncMs);
  const { user, system } = process.cpuUsage(cpuBefore);
  print('processor time of it', (user + system) / 1000, 'ms');
  if (source.status().installedApps !== USERS * APPS) throw new Error('apps are missing');
  await until(() => peerVerifier.provesSystemServer('10.1.0.0', 'user0'));
  await pause(3_000);
  print('resident set before', baseMiB, 'MiB');
  print('resident set at its most', mostMiB, 'MiB', TARGETS.rssMiB);
  print('longest pause of the event loop', longestPauseMs(), 'ms');

  const service = new GrantsService(source);
  const caller: Caller = { app: 'app0', user: 'user0', operations: 'any' };
  let slowestMs = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const changedMs = performance.now();
    apiServer.send([`ListSecret?workspace=app0-round-${round}`]);
    await until(
      () => source.find('user0', 'app0')?.grants.has(`ListSecret?workspace=app0-round-${round}`) === true,
    );
    slowestMs = Math.max(slowestMs, performance.now() - changedMs);
  }
  print(`one changed resource in force, worst of ${ROUNDS}`, slowestMs, 'ms', TARGETS.inForceMs);
  service.authorize(caller, 'ListSecret', `app0-round-${ROUNDS - 1}`);

  const callers = Array.from({ length: 10 }, (_, index): Caller => {
    const user = `user${(index * 7919) % USERS}`;
    return { app: `app${1 + (index % (APPS - 1))}`, user, operations: 'any' };
  });
  // The same ten callers, so that what differs is only how many others there are.
  const few = await sourceOf(callers);
  const ratios = Array.from({ length: DECISION_ROUNDS }, () => {
    const fewMs = decide(new GrantsService(few.source), callers);
    const manyMs = decide(service, callers);
    return { ratio: manyMs / fewMs, us: (manyMs * 1000) / DECISIONS };
  }).sort((a, b) => a.ratio - b.ratio);
  const middle = ratios[ratios.length >> 1];
  print('one decision', middle?.us ?? NaN, 'us');
  print(
    `one decision / one among ten apps, median of ${DECISION_ROUNDS}`,
    middle?.ratio ?? NaN,
    'x',
    TARGETS.ratio,
  );
  await few.close();
  await Promise.all([source.close(), close()]);
  apiServer.disconnect();
  rmSync(dir, { recursive: true });
  return missed;
}

void main().then((count) => process.exit(count === 0 ? 0 : 1));
