import { Agent, request, type RequestOptions } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { hash } from 'bcrypt';
import { serve } from '../../bench/processes/handlers';
import { preferred } from '../attacked-service';

export interface WellBehavedJob {
  readonly port: number;
  readonly metricsPort: number;
  /** A server that nobody attacks, which gets as many requests. */
  readonly controlPort: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly workspace: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Where present, each request has another one of these as `Authorization`. */
  readonly bearers?: readonly string[];
  readonly tls?: boolean;
  /** Where present, the app also asks for an access token every half second. */
  readonly proof?: { readonly appKey: string; readonly appSecret: string };
}

export interface WellBehavedResult {
  /**
   * The duration of each request in milliseconds. Probes are `/livez` on the service's port, health probes on the metrics port,
   * each on a new connection, as the kubelet makes them.
   */
  readonly tookMs: Readonly<Record<Kind, readonly number[]>>;
  /** Counts of answers other than 200, by kind and outcome. */
  readonly failures: Readonly<Record<string, number>>;
}

export type Kind = 'reads' | 'writes' | 'probes' | 'healthProbes' | 'proofs' | 'control';

const TIMEOUT_MS = 10_000;
/** A value of some 100 kB, as a certificate has. */
const LARGE_WRITE = JSON.stringify({ name: 's9', value: 'c'.repeat(100_000), env: 'dev' });

const PROBE_EVERY_MS = 100;
const PROVE_EVERY_MS = 500;

const kept = new Agent({ keepAlive: true, maxSockets: 64 });
const keptSecure = new SecureAgent({ keepAlive: true, maxSockets: 64, rejectUnauthorized: false });

/** Sends each request at its planned time, although earlier ones are unanswered, so that waits count in full. */
async function measure(job: WellBehavedJob): Promise<WellBehavedResult> {
  const tookMs: Record<Kind, number[]> = {
    reads: [],
    writes: [],
    probes: [],
    healthProbes: [],
    proofs: [],
    control: [],
  };
  const failures: Record<string, number> = {};
  const sent: Promise<void>[] = [];
  const send = (kind: Kind, options: RequestOptions, body?: string, isGood = '200'): void => {
    const beganMs = performance.now();
    sent.push(
      outcomeOf(options, body, job.tls === true && kind !== 'healthProbes' && kind !== 'control').then(
        (outcome) => {
          tookMs[kind].push(performance.now() - beganMs);
          if (outcome !== isGood) failures[`${kind} ${outcome}`] = (failures[`${kind} ${outcome}`] ?? 0) + 1;
        },
      ),
    );
  };
  const startMs = performance.now();
  const every = async (intervalMs: number, work: (turn: number) => void | Promise<void>): Promise<void> => {
    for (let turn = 0; turn * intervalMs < job.seconds * 1000; turn++) {
      const waitMs = startMs + turn * intervalMs - performance.now();
      if (waitMs > 0) await pause(waitMs);
      await work(turn);
    }
  };
  await Promise.all([
    every(1000 / job.perSecond, (turn) => {
      const [kind, op, body] = operationAt(turn);
      send(kind, callOf(job, op, body, turn), body);
      send('control', { port: job.controlPort, path: '/', agent: turn % 10 === 9 ? false : kept });
    }),
    every(PROBE_EVERY_MS, () => {
      send('probes', { port: job.port, path: '/livez', agent: false });
      send('healthProbes', { port: job.metricsPort, path: '/livez', agent: false });
    }),
    every(PROVE_EVERY_MS, async () => {
      if (job.proof === undefined) return;
      const body = await proofOf(job.proof, job.workspace);
      const path = '/permission/v1alpha1/access';
      send('proofs', { ...postOf(job.port, path, body), agent: false }, body, '200 0');
    }),
  ]);
  await Promise.all(sent);
  // Its connections are closed, so that they do not count among the service's descriptors.
  kept.destroy();
  keptSecure.destroy();
  return { tookMs, failures };
}

/** Chooses mostly reads by name, some lists, few writes, and few large ones among those. */
function operationAt(turn: number): readonly ['reads' | 'writes', string, string] {
  if (turn % 40 === 27) return ['writes', 'UpdateSecret', LARGE_WRITE];
  if (turn % 20 === 7)
    return ['writes', 'UpdateSecret', `{"name":"s${turn % 10}","value":"written ${turn}"}`];
  if (turn % 10 === 3) return ['reads', 'ListSecret', '{}'];
  return ['reads', 'RetrieveSecret', `{"name":"s${turn % 10}"}`];
}

function callOf(job: WellBehavedJob, op: string, body: string, turn: number): RequestOptions {
  const bearer = job.bearers?.[turn % job.bearers.length];
  const more = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  const options = postOf(job.port, `/${op}?workspace=${job.workspace}`, body);
  return {
    ...options,
    headers: { ...options.headers, ...job.headers, ...more },
    agent: turn % 10 === 9 ? false : job.tls === true ? keptSecure : kept,
  };
}

function postOf(port: number, path: string, body: string): RequestOptions & { readonly headers: object } {
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  return { method: 'POST', port, path, headers };
}

async function proofOf(
  { appKey, appSecret }: { readonly appKey: string; readonly appSecret: string },
  workspace: string,
): Promise<string> {
  const timestamp = Math.floor(Date.now() / 1000);
  const token = await hash(`${appKey}${timestamp}${appSecret}`, 10);
  const ops = [`RetrieveSecret?workspace=${workspace}`];
  const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops };
  return JSON.stringify({ app_key: appKey, timestamp, token, perm });
}

/** Returns the status, with the reason of a failure or the code of an access answer; or how the connection was lost. */
function outcomeOf(options: RequestOptions, body: string | undefined, tls: boolean): Promise<string> {
  return new Promise((resolve) => {
    const to = { host: '127.0.0.1', localAddress: '127.0.0.1', timeout: TIMEOUT_MS, ...options };
    const sent = tls ? secureRequest({ ...to, rejectUnauthorized: false }) : request(to);
    sent.on('timeout', () => sent.destroy(Object.assign(new Error(), { code: 'timeout' })));
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'lost'));
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('error', () => resolve('lost'));
      response.on('end', () => {
        const reason = /"reason":"(\w+)"/.exec(text)?.[1];
        const code = options.path?.endsWith('/access') === true ? /"code":(\d+)/.exec(text)?.[1] : undefined;
        resolve([response.statusCode, reason ?? code].filter((part) => part !== undefined).join(' '));
      });
    });
    sent.end(body);
  });
}

preferred(process.pid);

const handlers = { measure };
export type WellBehavedApp = typeof handlers;

serve(handlers);
