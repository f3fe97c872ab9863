import { STATUS_OF, type Reason } from '../../src/errors/domain-error';
import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { Metrics } from '../../src/telemetry/metrics';
import { requestMetrics } from '../../src/telemetry/metric-observers';
import { seriesOf } from '../support/observed-service';

describe('the metrics of requests', () => {
  it('have no more series after 10,000 users than after each outcome once', async () => {
    const metrics = new Metrics();
    const requests = requestMetrics(metrics);
    const ends = [...SECRET_OPERATIONS, 'access' as const, 'other' as const].flatMap((op) =>
      [undefined, ...(Object.keys(STATUS_OF) as Reason[])].map((reason) => ({ op, reason })),
    );
    const one = (user: number) => {
      const { op, reason } = ends[user % ends.length] ?? { op: 'other' as const, reason: undefined };
      const code = reason === undefined ? 200 : STATUS_OF[reason];
      requests.requestArrives().ended({ op, code, reason, durationMs: user });
    };
    ends.forEach((_, user) => one(user));
    const before = seriesOf(await metrics.exposition());
    for (let user = 0; user < 10_000; user++) one(user);
    expect(seriesOf(await metrics.exposition())).toEqual(before);
    expect(before.length).toBeLessThan(280);
  });
});
