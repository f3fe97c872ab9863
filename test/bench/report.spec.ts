import { atLeast, atMost, observed } from '../../scripts/bench/figure';
import { reportOf } from '../../scripts/bench/report';
import { alternating, median, percentile } from '../../scripts/bench/rounds';

describe('what the bench reports', () => {
  it('is one row for each figure, with the target of the issue, whatever CI lets pass', () => {
    const figures = [atMost('cost', 1.30004, 1.3, 6), atLeast('throughput', 20, 20, 1)];
    expect(reportOf(figures, []).figures).toEqual([
      { name: 'cost', value: 1.3, target: '<= 1.3', ok: false },
      { name: 'throughput', value: 20, target: '>= 20', ok: true },
    ]);
  });

  it('counts for CI by the wider bounds, and by the target where there is no other', () => {
    const figures = [
      atMost('within the wider bound', 2, 1.3, 6),
      atMost('beyond it', 6.1, 1.3, 6),
      atLeast('too little for either', 0.9, 20, 1),
      { name: 'failed reads', value: 1, target: '0', ok: false },
      { name: 'calls', value: '0 / 1 / 1', target: '0 / 1 / 1', ok: true },
    ];
    expect(reportOf(figures, []).ci).toEqual({ passed: 2, failed: 3 });
  });

  it('a part that could not be measured has not passed', () => {
    expect(atMost('cost', NaN, 1.3, 6)).toMatchObject({ ok: false, inCi: false });
    expect(atLeast('throughput', NaN, 20, 1)).toMatchObject({ ok: false, inCi: false });
  });

  it('shows what was measured beside, with its unit', () => {
    expect(reportOf([], [observed('p50', 1.23456, 'ms')]).observations).toEqual([
      { name: 'p50', value: 1.235, unit: 'ms' },
    ]);
  });
});

describe('rounds', () => {
  it('the median is the middle one, or between the two in the middle', () => {
    expect([median([9, 1, 5]), median([4, 1, 2, 100]), median([])]).toEqual([5, 3, NaN]);
  });

  it('a percentile is a value that was measured', () => {
    const values = Array.from({ length: 200 }, (_, at) => 200 - at);
    expect([percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)]).toEqual([101, 199, 200]); // prettier-ignore
  });

  it('what is compared is measured by turns', async () => {
    const order: string[] = [];
    const say = (what: string) => (round: number) => Promise.resolve(order.push(`${what}${round}`));
    await alternating(2, say('a'), say('b'));
    expect(order).toEqual(['a0', 'b0', 'a1', 'b1']);
  });
});
