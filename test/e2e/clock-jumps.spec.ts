import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const HOUR_MS = 3_600_000;

describe('a wall clock that jumps by an hour', () => {
  let [clock, time] = [new FixedClock(), new FixedMonotonicTime()];
  let service: Service;
  beforeEach(async () => {
    [clock, time] = [new FixedClock(), new FixedMonotonicTime()];
    service = await startService(
      { clock, time, store: new MemorySecretStore(), grantSource: exampleApps() },
      { limits: { rates: { app: { read: { perSecond: 1, burst: 3 } }, user: {} }, maxInFlight: 100 } },
    );
  });
  afterEach(() => service.close());
  /** @param lifeMs of both tokens, from the clock as it stands */
  const credentials = async (lifeMs?: number) => {
    const nowMs = clock.nowMs();
    const options = lifeMs === undefined ? {} : { expiresAtMs: nowMs + lifeMs };
    return {
      'x-authorization': await userToken('alice', nowMs, options),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, nowMs, options),
    };
  };
  const list = async (headers: Record<string, string>) =>
    (await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} })).status;

  it('forward ends the tokens that have expired by it, and new ones are accepted', async () => {
    const before = await credentials();
    expect(await list(before)).toBe(200);
    clock.advance(HOUR_MS);
    expect(await list(before)).toBe(401);
    expect(await list(await credentials())).toBe(200);
  });

  it('backward refuses nobody who has a valid token, of before or of after', async () => {
    const before = await credentials();
    clock.advance(HOUR_MS);
    const after = await credentials();
    expect(await list(after)).toBe(200);
    clock.advance(-HOUR_MS);
    expect([await list(before), await list(after)]).toEqual([200, 200]);
  });

  it.each([HOUR_MS, -HOUR_MS])(
    'by %i ms neither fills nor blocks a rate limit, which goes by monotonic time',
    async (jumpMs) => {
      const headers = await credentials(10 * HOUR_MS);
      for (let i = 0; i < 3; i++) expect(await list(headers)).toBe(200);
      expect(await list(headers)).toBe(429);
      clock.advance(jumpMs);
      expect(await list(headers)).toBe(429);
      time.advance(2_000);
      expect([await list(headers), await list(headers), await list(headers)]).toEqual([200, 200, 429]);
    },
  );
});
