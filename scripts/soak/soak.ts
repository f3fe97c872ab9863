import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ChildService } from '../../test/support/child-service';
import { OTMOICLP } from '../../test/support/example-apps';
import { httpCall } from '../../test/support/http-call';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../../test/support/tokens';

// npm run test:soak [-- minutes]: a service on the embedded store with an audit file under a steady mixed load, 30 minutes by default. Its latency,
// its memory and its descriptors are looked at each half minute; the last third of them is compared with the second.

const MINUTES = Number(process.argv[2] ?? 30);
const PER_SECOND = 60;
const SAMPLE_MS = Math.min(30_000, (MINUTES * 60_000) / 12);
/** Bounds of the last third against the second: latencies of a shared machine vary, and what leaks grows more than this. */
const MAX_LATENCY_RATIO = 2;
const MAX_GROWTH_MIB = 24;
const MAX_MORE_DESCRIPTORS = 16;
const KEY = 'k'.repeat(32);

interface Sample {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly heapMib: number;
  readonly residentMib: number;
  readonly descriptors: number;
}

const dir = mkdtempSync(join(tmpdir(), 'soak-'));

async function main(): Promise<boolean> {
  cpSync(resolve('examples/apps'), join(dir, 'apps'), { recursive: true });
  const { app, appKey, appSecret, ops } = OTMOICLP;
  writeFileSync(join(dir, 'apps/otmoiclp/app.yaml'), JSON.stringify({ user: 'alice', appKey, appSecret }));
  const service = await ChildService.start({
    NODE_ENV: 'production',
    PORT: '0',
    METRICS_PORT: '0',
    LOG_LEVEL: 'info',
    GRANTS_DIR: join(dir, 'apps'),
    DATA_DIR: join(dir, 'data'),
    MASTER_KEY: KEY,
    RATE_LIMIT_APP_READS: '0',
    RATE_LIMIT_APP_WRITES: '0',
    RATE_LIMIT_USER_READS: '0',
    RATE_LIMIT_USER_WRITES: '0',
    USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
    ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
    AUDIT: 'file',
    AUDIT_KEY: KEY,
    AUDIT_FILE: join(dir, 'trail/audit.log'),
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const samples: Sample[] = [];
  let latencies: number[] = [];
  let wrong = 0;
  let headers: Record<string, string> = {};
  const renew = async (): Promise<void> => {
    headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken(app, 'alice', ops, Date.now()),
    };
  };
  /** One in ten writes, one in ten lists, one in twenty on a connection of its own, one in fifty refused. */
  const request = async (at: number): Promise<void> => {
    const name = `s${at % 200}`;
    const value = `${at}`.repeat(1 + (at % 400));
    const operation = at % 10 === 0 ? 'UpdateSecret' : at % 10 === 1 ? 'ListSecret' : 'RetrieveSecret';
    const body = operation === 'ListSecret' ? {} : { name, ...(operation === 'UpdateSecret' && { value }) };
    const isRefused = at % 50 === 7;
    const workspace = isRefused ? 'not-granted' : 'otmoic';
    const beganMs = performance.now();
    const url = `http://127.0.0.1:${service.ports.main}/${operation}?workspace=${workspace}`;
    const call = { headers, body, ...(at % 20 === 3 ? {} : { agent }) };
    const { status } = await httpCall(url, call).catch(() => ({ status: 0 }));
    latencies.push(performance.now() - beganMs);
    if (status === (isRefused ? 403 : 200)) return;
    wrong += 1;
    process.stderr.write(`${operation} was answered ${status}\n`);
  };
  await renew();
  for (let i = 0; i < 200; i++) {
    const url = `http://127.0.0.1:${service.ports.main}/CreateSecret?workspace=otmoic`;
    await httpCall(url, { headers, body: { name: `s${i}`, value: 'v' }, agent });
  }
  const endMs = Date.now() + MINUTES * 60_000;
  let nextSampleMs = Date.now() + SAMPLE_MS;
  let renewMs = Date.now() + 60_000;
  for (let at = 0; Date.now() < endMs; at++) {
    void request(at);
    await pause(1000 / PER_SECOND);
    if (Date.now() >= renewMs) {
      await renew();
      renewMs = Date.now() + 60_000;
    }
    if (Date.now() < nextSampleMs) continue;
    nextSampleMs += SAMPLE_MS;
    samples.push(await sample(service, latencies));
    latencies = [];
    process.stderr.write(`${JSON.stringify(samples.at(-1))}\n`);
  }
  await pause(1_000);
  agent.destroy();
  await service.end();
  return report(samples, wrong);
}

async function sample(service: ChildService, latencies: readonly number[]): Promise<Sample> {
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
  const { pid, ports } = service;
  const metrics = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text();
  const heap = /^nodejs_heap_size_used_bytes(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1];
  const resident = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    heapMib: Number(heap ?? NaN) / 1_048_576,
    residentMib: Number(resident ?? NaN) / 1_024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

function report(samples: readonly Sample[], wrong: number): boolean {
  const third = Math.floor(samples.length / 3);
  const [earlier, later] = [samples.slice(third, 2 * third), samples.slice(2 * third)];
  const median = (part: readonly Sample[], of: keyof Sample) =>
    part.map((one) => one[of]).sort((a, b) => a - b)[Math.floor(part.length / 2)] ?? NaN;
  const both = (of: keyof Sample) => [median(earlier, of), median(later, of)] as const;
  const ratio = (of: 'p50Ms' | 'p99Ms') => both(of)[1] / both(of)[0];
  const growth = (of: 'heapMib' | 'residentMib' | 'descriptors') => both(of)[1] - both(of)[0];
  const figures: readonly (readonly [string, string, boolean])[] = [
    ['wrong answers', String(wrong), wrong === 0],
    ['p50, last third ÷ second', ratio('p50Ms').toFixed(2), ratio('p50Ms') <= MAX_LATENCY_RATIO],
    ['p99, last third ÷ second', ratio('p99Ms').toFixed(2), ratio('p99Ms') <= MAX_LATENCY_RATIO],
    ['heap, growth in MiB', growth('heapMib').toFixed(1), growth('heapMib') <= MAX_GROWTH_MIB],
    [
      'resident set, growth in MiB',
      growth('residentMib').toFixed(1),
      growth('residentMib') <= MAX_GROWTH_MIB,
    ],
    ['descriptors, growth', growth('descriptors').toFixed(0), growth('descriptors') <= MAX_MORE_DESCRIPTORS],
  ];
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  process.stdout.write(`${MINUTES} minutes at ${PER_SECOND} requests a second, ${commit}\n`);
  for (const [name, value, isWithin] of figures)
    process.stdout.write(`figure: ${name} = ${value}${isWithin ? '' : ' (beyond its bound)'}\n`);
  return figures.every(([, , isWithin]) => isWithin);
}

main()
  .then((isFlat) => (process.exitCode = isFlat ? 0 : 1))
  .finally(() => rmSync(dir, { recursive: true, force: true }))
  .catch((error: unknown) => {
    process.stderr.write(`The soak ended early: ${error instanceof Error ? error.message : 'unknown'}\n`);
    process.exit(1);
  });
