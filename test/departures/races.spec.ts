import { FixedClock } from '../support/fixed-clock';
import type { MonotonicTime } from '../../src/clock/monotonic-time';
import { SystemMonotonicTime } from '../../src/clock/system-monotonic-time';
import { departures } from '../../src/departures/departures';
import { StoreOutcomeUnknown, StoreUnavailable } from '../../src/errors/store-errors';
import type { SecretStore } from '../../src/secrets/secret-store';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemorySecretStore } from '../support/memory.secret-store';

const WS = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
const quiet = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the removal of departed users', () => {
  let store: MemorySecretStore;
  let clock: FixedClock;
  let stops: (() => Promise<void>)[];
  beforeEach(() => {
    store = new MemorySecretStore();
    clock = new FixedClock();
    stops = [];
  });
  afterEach(async () => {
    for (const stop of stops) await stop();
  });

  function replica(time: MonotonicTime, on: SecretStore = store) {
    const said: string[] = [];
    const log = (_level: string, event: string) => void said.push(event);
    const { departedUsers, background } = departures({ store: on, clock, time, log, enabled: true });
    background.onApplicationBootstrap();
    stops.push(() => background.beforeApplicationShutdown());
    return { departedUsers, stop: () => background.beforeApplicationShutdown(), said };
  }

  it.each(['a completion in doubt', 'another replica that was faster'])(
    'is no busy loop after %s',
    async (what) => {
      const one = replica(new SystemMonotonicTime());
      await store.create(WS, { name: 'k', value: 'v' });
      const [update, remove] = [store.update.bind(store), store.removeWorkspace.bind(store)];
      if (what === 'a completion in doubt') {
        store.update = async (scope, secret) => {
          await update(scope, secret);
          store.update = update;
          throw new StoreOutcomeUnknown();
        };
      } else {
        store.removeWorkspace = async () => {
          throw new StoreUnavailable();
        };
      }
      await one.departedUsers.userDeleted('alice');
      await eventually(() => expect(one.said).toContain('user_removal_failed'));
      store.removeWorkspace = remove;
      const other = replica(new SystemMonotonicTime());
      await eventually(() => expect(store.calls.join()).toContain('update'));
      await other.stop();
      await quiet(1500);
      const before = store.calls.length;
      await quiet(500);
      expect(store.calls.length - before).toBeLessThan(5);
    },
  );

  it('leaves what a returned user stored, whatever event waited in line of a slow replica', async () => {
    const time = new FixedMonotonicTime();
    const slow: SecretStore = Object.create(store) as SecretStore;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    slow.create = async (scope, secret) => {
      if (first) {
        first = false;
        await held;
      }
      await store.create(scope, secret);
    };
    const [a, b] = [replica(time, slow), replica(time)];
    const waiting = [a.departedUsers.userDeleted('alice')];
    clock.advance(3000);
    waiting.push(a.departedUsers.userDeleted('alice'));
    clock.advance(3000);
    await b.departedUsers.userDeleted('alice');
    await eventually(() => expect(b.said).toContain('user_removal_done'));
    clock.advance(3000);
    await b.departedUsers.userCreated('alice');
    clock.advance(1000);
    await store.create(WS, { name: 'k', value: 'of the new alice' });
    clock.advance(3000);
    release();
    await Promise.all(waiting);
    await quiet(100);
    time.advance(600_000);
    await quiet(100);
    expect(await store.list(WS)).toEqual([{ name: 'k', value: 'of the new alice' }]);
  });
});
