import axios from 'axios';
import { SystemMonotonicTime } from '../../../src/time/clock';
import { resilientStore } from '../../../src/stores/resilience/resilient-store';
import { StoreClient } from '../../support/store-client';
import { at, openStore } from './opened-store';

/** What there are today; fewer are wanted. */
const MAX_FRAMES = 15;

describe('a cold read of a known project', () => {
  const { stackTraceLimit } = Error;
  afterEach(() => {
    Error.stackTraceLimit = stackTraceLimit;
    jest.restoreAllMocks();
  });

  it('enters a bounded number of our functions between the circuit breaker and axios', async () => {
    const stacks: string[] = [];
    const adapter = axios.getAdapter('http');
    jest.spyOn(axios, 'getAdapter').mockReturnValue((config) => {
      stacks.push(new Error('to see the stack').stack ?? '');
      return adapter(config);
    });
    Error.stackTraceLimit = Infinity;
    const { store: inner } = await openStore({ apiVersion: 'v3' });
    const deps = { time: new SystemMonotonicTime(), log: () => undefined };
    const store = new StoreClient(resilientStore(inner.store, 20_000, deps));
    await store.create(at(), { name: 'k', value: 'v' });
    stacks.length = 0;
    await store.readScope(at(), 'k');
    expect(stacks).toHaveLength(1);
    const frames = (stacks[0] ?? '').split('\n').filter((line) => line.includes('/src/stores/'));
    expect(frames.length).toBeGreaterThan(2);
    expect(frames.length).toBeLessThanOrEqual(MAX_FRAMES);
  });
});
