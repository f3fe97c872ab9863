import { callsOf } from '../apps';
import { atMost, observed, type Measured } from '../figure';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, seedWorkspaces } from './apps-of-the-bench';
import { NOTHING_STAYS_WARM } from './cold-reads';
import { allAnswered } from './load';

/** The same secret from the server that Olares ships, as we read it and as it was read before. */
export async function againstThePredecessor(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('fork');
  await seedWorkspaces(infisical);
  const service = await stage.service(await infisical.ask('url'), APPS, NOTHING_STAYS_WARM);
  const [load, predecessor] = [stage.loadGenerator(), stage.predecessor()];
  const calls = await callsOf(service.url, APPS);
  await allAnswered(load, { calls, connections: 1, requests: calls.length });
  const [{ user = '', workspaces: [workspace = ''] = [] } = {}] = APPS;
  const sequence = await infisical.ask('predecessorRead', { user, workspace });
  const pairs = await alternating(
    size.rounds,
    async () => (await allAnswered(load, { calls, connections: 1, requests: size.forkReads })).p50Ms,
    async () => {
      const tookMs: number[] = [];
      for (let at = 0; at < size.predecessorReads; at++) tookMs.push(await predecessor.ask('read', sequence));
      return median(tookMs);
    },
  );
  return {
    figures: [
      atMost(
        "cold read, p50 / the predecessor's sequence on a server with the fork's service times",
        median(pairs.map(({ first, second }) => first / second)),
        0.1,
        0.3,
      ),
    ],
    observations: [
      observed("cold read, the fork's times, p50", median(pairs.map(({ first }) => first)), 'ms'),
      observed("the predecessor's sequence, p50", median(pairs.map(({ second }) => second)), 'ms'),
    ],
  };
}
