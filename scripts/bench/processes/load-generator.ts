import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { percentile } from '../rounds';
import { serve } from './handlers';

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface LoadJob {
  /** Taken by turns. */
  readonly calls: readonly Call[];
  readonly connections: number;
  /** One of the two ends it. */
  readonly requests?: number;
  readonly seconds?: number;
  /** All connections together; without it each sends its next request when the last one was answered. */
  readonly perSecond?: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  /** How many were not answered with 200, by status and reason. */
  readonly failures: Readonly<Record<string, number>>;
}

async function run({ calls, connections, requests, seconds, perSecond }: LoadJob): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const tookMs: number[] = [];
  const failures: Record<string, number> = {};
  const startMs = performance.now();
  const endMs = startMs + (seconds ?? Infinity) * 1000;
  let begun = 0;
  const connection = async (): Promise<void> => {
    while (begun < (requests ?? Infinity) && performance.now() < endMs) {
      const turn = begun++;
      const call = calls[turn % calls.length];
      if (call === undefined) return;
      if (perSecond !== undefined) {
        const waitMs = startMs + (turn * 1000) / perSecond - performance.now();
        if (waitMs > 0) await pause(waitMs);
      }
      const sentMs = performance.now();
      const outcome = await outcomeOf(call, agent);
      tookMs.push(performance.now() - sentMs);
      if (outcome !== '200') failures[outcome] = (failures[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  const tookS = (performance.now() - startMs) / 1000;
  agent.destroy();
  return {
    requests: tookMs.length,
    perSecond: tookMs.length / tookS,
    p50Ms: percentile(tookMs, 0.5),
    p99Ms: percentile(tookMs, 0.99),
    slowestMs: percentile(tookMs, 1),
    failures,
  };
}

/** `200`, or the status with the reason that the answer names, or the code of a lost connection. */
function outcomeOf({ method, url, headers, body }: Call, agent: Agent): Promise<string> {
  return new Promise((give) => {
    const sent = request(url, { method, headers, agent });
    sent.on('error', (error: NodeJS.ErrnoException) => give(error.code ?? 'lost'));
    sent.on('response', (response) => {
      if (response.statusCode === 200) {
        response.on('end', () => give('200')).resume();
        return;
      }
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const reason = () => /"reason":"(\w+)"/.exec(text)?.[1] ?? '';
      response.on('end', () => give(`${response.statusCode} ${reason()}`.trim()));
    });
    sent.end(body);
  });
}

const handlers = { run };
export type LoadGenerator = typeof handlers;

serve(handlers);
