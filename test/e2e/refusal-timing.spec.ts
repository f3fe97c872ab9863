import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECRET_OPERATIONS, type SecretOperation } from '../../src/authz/grant';
import { loadSettings } from '../../src/config/settings';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { OTMOICLP } from '../support/example-apps';
import { type Service, startService } from '../support/service';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

/** `npm run test:timing` compares ten thousand pairs; the gate fewer. */
const PAIRS = process.env['LONG_TESTS'] === 'true' ? 10_000 : 1_500;
const SPLITS = 100;

/** Holds nothing on `otmoic`. */
const STRANGER = { ...OTMOICLP, app: 'stranger', appKey: 'bytetrade_stranger_1', ops: ['ListSecret'] };
/** Of one length, so that the requests are. */
const [EXISTING, MISSING] = ['wallet-password-1', 'wallet-password-2'] as const;

interface Sent {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly tookMs: number;
}

describe('without a grant', () => {
  const folder = new GrantsFolder([OTMOICLP, STRANGER]);
  const dataDir = mkdtempSync(join(tmpdir(), 'refusal-timing-'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let service: Service;
  let credentials: Readonly<Record<'otmoiclp' | 'stranger', Record<string, string>>>;

  const send = (
    app: keyof typeof credentials,
    operation: SecretOperation,
    body: object,
    workspace = 'otmoic',
  ): Promise<Sent> =>
    new Promise((resolve, reject) => {
      const url = `${service.url}/${operation}?workspace=${workspace}`;
      const payload = JSON.stringify(body);
      const beganMs = performance.now();
      const headers = { ...credentials[app], 'content-length': Buffer.byteLength(payload) };
      const sent = request(url, { method: 'POST', agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const tookMs = performance.now() - beganMs;
          const { statusCode: status, headers: received } = response;
          resolve({ status, headers: received, text: Buffer.concat(chunks).toString(), tookMs });
        });
      });
      sent.on('error', reject);
      sent.end(payload);
    });

  beforeAll(async () => {
    const settings = loadSettings({
      GRANTS_DIR: folder.dir,
      DATA_DIR: dataDir,
      MASTER_KEY: 'm'.repeat(32),
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      RATE_LIMIT_APP_READS: '0',
      RATE_LIMIT_USER_READS: '0',
    });
    service = await startService({}, settings);
    const of = async (app: string, ops: readonly string[]) => ({
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken(app, 'alice', ops, Date.now()),
      'x-request-id': 'one-id',
      'content-type': 'application/json',
    });
    credentials = {
      otmoiclp: await of('otmoiclp', OTMOICLP.ops),
      stranger: await of('stranger', OTMOICLP.ops),
    };
    const value = 'v'.repeat(400 * 1024);
    expect((await send('otmoiclp', 'CreateSecret', { name: EXISTING, value })).status).toBe(200);
  });
  afterAll(async () => {
    agent.destroy();
    await service.close();
    folder.dispose();
    rmSync(dataDir, { recursive: true });
  });

  it('an existing secret and a missing one are answered alike, and so are their workspaces', async () => {
    const bodyOf = (operation: SecretOperation, name: string): object => {
      if (operation === 'ListSecret') return {};
      return /Create|Update/.test(operation) ? { name, value: 'v' } : { name };
    };
    for (const operation of SECRET_OPERATIONS) {
      const answers = [
        await send('stranger', operation, bodyOf(operation, EXISTING)),
        await send('stranger', operation, bodyOf(operation, MISSING)),
        await send('stranger', operation, bodyOf(operation, MISSING), 'absent'),
      ].map(({ status, headers: { date: _date, ...headers }, text }) => ({
        status,
        headers,
        text: text.replaceAll('absent', 'otmoic'),
      }));
      expect(answers[0]?.status).toBe(403);
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
    }
  });

  it(`an existing secret and a missing one take equally long, over ${PAIRS} pairs`, async () => {
    const times = await interleaved(PAIRS, (name) => send('stranger', 'RetrieveSecret', { name }));
    const [differenceUs, noiseUs] = [times.difference, times.noise].map((ms) => (ms * 1_000).toFixed(1));
    process.stdout.write(
      `figure: difference of the medians of ${PAIRS} pairs = ${differenceUs} us (noise ${noiseUs} us)\n`,
    );
    expect(times.difference).toBeLessThanOrEqual(2 * times.noise);
    // The same comparison tells them apart where the store is asked.
    const granted = await interleaved(150, (name) => send('otmoiclp', 'RetrieveSecret', { name }));
    expect(granted.difference).toBeGreaterThan(granted.noise);
  }, 120_000);
});

/**
 * Times both secrets by turns in an order that nothing else follows. `difference` is that of the two medians, in milliseconds;
 * `noise` the largest between two halves of the times of one secret, which are drawn by lot many times.
 */
async function interleaved(
  pairs: number,
  send: (name: string) => Promise<Sent>,
): Promise<{ readonly difference: number; readonly noise: number }> {
  const [existing, missing] = [new Float64Array(pairs), new Float64Array(pairs)];
  const drawn = random(20261127);
  for (let warmUp = 0; warmUp < 200; warmUp += 1) await send(warmUp % 2 === 0 ? EXISTING : MISSING);
  for (let pair = 0; pair < pairs; pair += 1) {
    const isExistingFirst = drawn();
    const first = await send(isExistingFirst ? EXISTING : MISSING);
    const second = await send(isExistingFirst ? MISSING : EXISTING);
    existing[pair] = (isExistingFirst ? first : second).tookMs;
    missing[pair] = (isExistingFirst ? second : first).tookMs;
  }
  const halves = [existing, missing].flatMap((times) =>
    Array.from({ length: SPLITS }, () => {
      const isIn = Array.from(times, drawn);
      return Math.abs(
        median(times.filter((_, pair) => isIn[pair] === true)) -
          median(times.filter((_, pair) => isIn[pair] === false)),
      );
    }),
  );
  return { difference: Math.abs(median(existing) - median(missing)), noise: Math.max(...halves) };
}

function median(times: Float64Array): number {
  return times.toSorted()[times.length >> 1] ?? 0;
}

/** Returns a coin whose throws are the same in each run (xorshift32). */
function random(seed: number): () => boolean {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 0x10000) !== 0;
  };
}
