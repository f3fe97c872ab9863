import type { RateLimits, RateLimitsByKind } from '../../src/limits/rate-limits';

/** What the suite needs of rate limits: those of one process, with full accounts. */
export interface RateLimitsUnderTest {
  open(rates: RateLimitsByKind): Promise<{
    readonly rateLimits: RateLimits;
    /** Lets so much time pass for the accounts. */
    readonly pass: (ms: number) => Promise<void>;
  }>;
}

/** Too slow to refill within a test. */
const slow = (burst: number) => ({ perSecond: 0.01, burst });
const NOTES = { app: 'notes', user: 'alice' };
const MAIL = { app: 'mail', user: 'alice' };

/** The contract of RateLimits, sentence by sentence. */
export function describeRateLimits(title: string, subject: RateLimitsUnderTest): void {
  describe(`${title} keep the contract of RateLimits`, () => {
    const open = (rates: Partial<RateLimitsByKind>) => subject.open({ app: {}, user: {}, ...rates });
    const opened = async (rates: Partial<RateLimitsByKind>) => (await open(rates)).rateLimits;

    /** Whose limit each of some requests exceeded, one after the other. */
    async function budgets(
      rateLimits: RateLimits,
      ...requests: readonly Parameters<RateLimits['take']>[]
    ): Promise<readonly ('app' | 'user' | undefined)[]> {
      const told: ('app' | 'user' | undefined)[] = [];
      for (const request of requests) told.push((await rateLimits.take(...request))?.limitOf);
      return told;
    }

    it('allow as many requests as the burst, and say when there will be one more', async () => {
      const rateLimits = await opened({ app: { read: slow(3) } });
      expect(await budgets(rateLimits, ['read', NOTES], ['read', NOTES], ['read', NOTES])).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      const exceeded = await rateLimits.take('read', NOTES);
      expect(exceeded?.limitOf).toBe('app');
      expect(exceeded?.retryAfterMs).toBeGreaterThan(90_000);
      expect(exceeded?.retryAfterMs).toBeLessThanOrEqual(100_000);
    });

    it('allow no more than the burst where the requests come at once', async () => {
      const rateLimits = await opened({ app: { read: slow(7) } });
      const told = await Promise.all(Array.from({ length: 20 }, async () => rateLimits.take('read', NOTES)));
      expect(told.filter((exceeded) => exceeded === undefined)).toHaveLength(7);
    });

    it('allow a request again after the time that they said', async () => {
      const { rateLimits, pass } = await open({ app: { read: { perSecond: 4, burst: 1 } } });
      await rateLimits.take('read', NOTES);
      const exceeded = await rateLimits.take('read', NOTES);
      expect(exceeded?.retryAfterMs).toBeGreaterThan(0);
      await pass(exceeded?.retryAfterMs ?? 0);
      expect(await rateLimits.take('read', NOTES)).toBeUndefined();
    });

    it('limit nothing where there is no limit', async () => {
      const rateLimits = await opened({ app: { write: slow(1) } });
      expect(await budgets(rateLimits, ['read', NOTES], ['read', NOTES], ['read', NOTES])).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    });

    it('count reads and writes, apps, and users separately', async () => {
      const rateLimits = await opened({ app: { read: slow(1), write: slow(1) } });
      const subjects = [NOTES, MAIL, { app: 'notes', user: 'bob' }];
      const each = subjects.flatMap((who) => [['read', who] as const, ['write', who] as const]);
      const once = await budgets(
        rateLimits,
        ...each.map(([kind, who]) => [kind, who] as [typeof kind, typeof who]),
      );
      expect(once).toEqual(Array(6).fill(undefined));
      const again = await budgets(
        rateLimits,
        ...each.map(([kind, who]) => [kind, who] as [typeof kind, typeof who]),
      );
      expect(again).toEqual(Array(6).fill('app'));
    });

    it('do not take one app of one user for another', async () => {
      const rateLimits = await opened({ app: { read: slow(1) } });
      const alike = [
        { app: 'c', user: 'a:b' },
        { app: 'b:c', user: 'a' },
        { app: 'bc', user: 'a' },
        { app: 'c', user: 'ab' },
      ];
      for (const who of alike) expect(await budgets(rateLimits, ['read', who])).toEqual([undefined]);
    });

    it("count what all apps of a user do, and the user alone, against the user's limit", async () => {
      const rateLimits = await opened({ user: { read: slow(3) } });
      expect(
        await budgets(
          rateLimits,
          ['read', NOTES],
          ['read', { user: 'alice' }],
          ['read', MAIL],
          ['read', NOTES],
          ['read', { app: 'mail', user: 'bob' }],
        ),
      ).toEqual([undefined, undefined, undefined, 'user', undefined]);
    });

    it('take from the limits of app and user, or from neither', async () => {
      const rateLimits = await opened({ app: { read: slow(1) }, user: { read: slow(2) } });
      expect(
        await budgets(rateLimits, ['read', NOTES], ['read', NOTES], ['read', NOTES], ['read', MAIL], ['read', { user: 'alice' }]), // prettier-ignore
      ).toEqual([undefined, 'app', 'app', undefined, 'user']);
    });

    it('apply no limit of apps to a user who calls without an app', async () => {
      const rateLimits = await opened({ app: { read: slow(1) } });
      const alone = ['read', { user: 'alice' }] as Parameters<RateLimits['take']>;
      expect(await budgets(rateLimits, alone, alone)).toEqual([undefined, undefined]);
    });

    it('count the later cost of a request against the same kind, for app and user', async () => {
      const rateLimits = await opened({
        app: { read: slow(5), write: slow(5) },
        user: { read: slow(9) },
      });
      rateLimits.charge('read', NOTES, 5);
      expect(
        await budgets(rateLimits, ['read', NOTES], ['write', NOTES], ['read', MAIL], ['read', MAIL], ['read', MAIL], ['read', MAIL], ['read', MAIL]), // prettier-ignore
      ).toEqual(['app', undefined, undefined, undefined, undefined, undefined, 'user']);
    });
  });
}
