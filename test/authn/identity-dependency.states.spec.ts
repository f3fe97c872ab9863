import { IdentityDependency, type IdentityDependencyName } from '../../src/authn/identity-dependency';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

describe('a service that verifies callers', () => {
  const open = (name: IdentityDependencyName = 'lldap') => {
    const [time, logged, states] = [new FixedMonotonicTime(), [] as unknown[], [] as unknown[]];
    const dependency = new IdentityDependency(name, {
      time,
      log: (...line) => logged.push(line),
      observer: { dependencyIs: (...state) => states.push(state) },
    });
    return { time, logged, states, dependency };
  };
  const settled = () => new Promise(setImmediate);
  const LOST = ['warn', 'dependency_lost', { dependency: 'lldap', reason: 'ECONNREFUSED' }];
  const RECOVERED = ['info', 'dependency_recovered', { dependency: 'lldap' }];

  it('is observed as up at its first answer, once and without a line in the log', () => {
    const { dependency, logged, states } = open();
    dependency.answered();
    dependency.answered();
    expect([states, logged, dependency.sentences()]).toEqual([[['lldap', true]], [], []]);
  });

  it('is lost at its first failure, once in the log, and the problem has the latest reason', () => {
    const { dependency, logged, states } = open();
    dependency.failed('ECONNREFUSED');
    dependency.failed('500');
    expect([logged, states]).toEqual([[LOST], [['lldap', false]]]);
    expect(dependency.sentences()).toEqual([
      'LLDAP does not answer (500): calls with a user token are refused. LLDAP_URL says where it is asked.',
    ]);
  });

  it('is named in the problem of the API server too', () => {
    const { dependency } = open('token_review');
    dependency.failed('403');
    expect(dependency.sentences()).toEqual([
      'The Kubernetes API server reviews no tokens (403): pods that prove themselves by a ServiceAccount token are refused with 503.',
    ]);
  });

  it('is back when it answers and has not failed for five seconds', () => {
    const { dependency, time, logged, states } = open();
    dependency.failed('ECONNREFUSED');
    time.advance(4_000);
    dependency.failed('ECONNREFUSED');
    time.advance(4_999);
    dependency.answered();
    expect([dependency.sentences().length, logged.length, states.length]).toEqual([1, 1, 1]);
    time.advance(1);
    dependency.answered();
    expect(logged).toEqual([LOST, RECOVERED]);
    expect(states).toEqual([['lldap', false], ['lldap', true]]); // prettier-ignore
    expect(dependency.sentences()).toEqual([]);
  });

  it('is asked at once, and again every six seconds while it is down, whether or not the question fails', async () => {
    const { dependency, time } = open();
    let asked = 0;
    dependency.watch(() => {
      asked += 1;
      dependency.failed('ECONNREFUSED');
      return asked % 2 === 0 ? Promise.resolve() : Promise.reject(new Error('no answer'));
    });
    await settled();
    for (const count of [1, 2, 3]) {
      expect(asked).toBe(count);
      time.advance(5_999);
      await settled();
      expect(asked).toBe(count);
      time.advance(1);
      await settled();
    }
  });

  it('is asked again although the question that began before its failure was answered meanwhile', async () => {
    const { dependency, time } = open();
    let asked = 0;
    dependency.watch(() => Promise.resolve(void (asked += 1)));
    await settled();
    time.advance(60_000);
    expect(asked).toBe(1);
    dependency.failed('ECONNREFUSED');
    time.advance(6_000);
    expect(asked).toBe(2);
  });

  it('is asked no more when it is back', async () => {
    const { dependency, time } = open();
    let asked = 0;
    dependency.watch(() => Promise.resolve(void (asked += 1)));
    dependency.failed('ECONNREFUSED');
    await settled();
    time.advance(5_000);
    dependency.answered();
    time.advance(60_000);
    await settled();
    expect(asked).toBe(1);
  });

  it('is asked no more when the service stops, be a question under way or not', async () => {
    for (const isUnderWay of [true, false]) {
      const { dependency, time } = open();
      let [asked, end] = [0, (): void => undefined];
      dependency.watch(() => {
        asked += 1;
        dependency.failed('ECONNREFUSED');
        return new Promise<void>((resolve) => (end = resolve));
      });
      if (!isUnderWay) end();
      await settled();
      dependency.close();
      end();
      await settled();
      time.advance(60_000);
      expect(asked).toBe(1);
    }
  });

  it('needs neither a question nor an observer', () => {
    const time = new FixedMonotonicTime();
    const dependency = new IdentityDependency('lldap', { time, log: () => undefined });
    dependency.close();
    dependency.failed('ECONNREFUSED');
    time.advance(60_000);
    dependency.answered();
    expect(dependency.sentences()).toEqual([]);
  });
});
