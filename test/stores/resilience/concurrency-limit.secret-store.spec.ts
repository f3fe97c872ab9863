import { ClientGone } from '../../../src/errors/request-errors';
import { StoreUnreachable } from '../../../src/errors/store-errors';
import {
  type ConcurrencyBounds,
  QUEUE_BOUNDS,
  ConcurrencyLimitSecretStore,
} from '../../../src/stores/resilience/concurrency-limit.secret-store';
import type {
  QueueFigures,
  StoreLoadObserver,
} from '../../../src/stores/resilience/circuit-breaker.secret-store';
import { UNATTENDED } from '../../../src/secrets/secret';
import type { ListedSecrets } from '../../../src/secrets/secret-store';
import { deadlineIn } from '../../../src/time/clock';
import { StoreClient } from '../../support/store-client';
import { describeSecretStore, outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { MemorySecretStore } from '../../support/memory.secret-store';

const OPTIONS: ConcurrencyBounds = { ...QUEUE_BOUNDS, maxWaitMs: 5_000, reserveMs: 2_000 };

describeSecretStore('the queue', {
  open: async () => {
    const store = new ConcurrencyLimitSecretStore(
      new MemorySecretStore(),
      OPTIONS,
      new FixedMonotonicTime(),
      undefined,
    );
    return { store, dispose: () => store.close() };
  },
});

/** A store whose calls end when the test says so. */
class HeldStore extends MemorySecretStore {
  readonly #held: (() => void)[] = [];

  override async list(scope: Parameters<MemorySecretStore['list']>[0]): Promise<ListedSecrets> {
    this.calls.push(`${scope.user}/${scope.workspace}`);
    await new Promise<void>((end) => this.#held.push(end));
    return { secrets: [] };
  }

  /** Ends the oldest calls, one after the other, and lets follow what follows. */
  async end(count = 1): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.#held.shift()?.();
      await new Promise(setImmediate);
    }
  }
}

class Figures implements StoreLoadObserver {
  refused = 0;
  figures: () => QueueFigures = () => ({ waiting: -1, underWay: -1 });
  queueOpened(figures: () => QueueFigures): void {
    this.figures = figures;
  }
  permitRefused(): void {
    this.refused += 1;
  }
  breakerOpened(): void {}
  breakerBecame(): void {}
}

describe('the concurrency limit', () => {
  const build = (bounds: Partial<ConcurrencyBounds>) => {
    const inner = new HeldStore();
    const [time, seen] = [new FixedMonotonicTime(), new Figures()];
    const limit = new ConcurrencyLimitSecretStore(inner, { ...OPTIONS, ...bounds }, time, seen);
    const store = new StoreClient(limit);
    const list = (user: string, workspace = 'notes') =>
      outcome(store.list({ user, workspace, environment: 'prod' }));
    return { inner, time, seen, limit, store, list };
  };

  it('sends the store no more calls at once than its bound', async () => {
    const { inner, seen, list } = build({ maxRunning: 3 });
    const all = ['a', 'b', 'c', 'd', 'e'].map((user) => list(user));
    expect([inner.calls.length, seen.figures()]).toEqual([3, { waiting: 2, underWay: 3 }]);
    await inner.end();
    expect(inner.calls).toHaveLength(4);
    await inner.end(4);
    expect(await Promise.all(all)).toEqual(Array(5).fill('done'));
    expect(seen.figures()).toEqual({ waiting: 0, underWay: 0 });
  });

  it('gives permits to workspaces in turn, however many calls one of them makes', async () => {
    const { inner, list } = build({ maxRunning: 1, maxRunningPerKey: 1 });
    const all = [
      ...Array.from({ length: 5 }, () => list('flood')),
      list('alice'),
      list('alice', 'other'),
      list('bob'),
      list('alice'),
    ];
    await inner.end(9);
    await Promise.all(all);
    expect(inner.calls).toEqual([
      'flood/notes', 'flood/notes', 'alice/notes', 'alice/other', 'bob/notes',
      'flood/notes', 'alice/notes', 'flood/notes', 'flood/notes',
    ]); // prettier-ignore
  });

  it('leaves permits for others when the calls of one workspace hang', async () => {
    const { inner, list } = build({ maxRunning: 4, maxRunningPerKey: 2 });
    const all = [...Array.from({ length: 4 }, () => list('hangs')), list('alice')];
    expect(inner.calls).toEqual(['hangs/notes', 'hangs/notes', 'alice/notes']);
    await inner.end(5);
    await Promise.all(all);
  });

  it('refuses a call when the queue of its workspace is full; when all queues are, the last call of the longest one', async () => {
    const { inner, seen, list } = build({ maxRunning: 1, maxWaiting: 3, maxWaitingPerKey: 2 });
    const waiting = ['a', 'a', 'a'].map((user) => list(user));
    expect(await list('a')).toBe('TOO_MANY_REQUESTS');
    waiting.push(list('b'), list('c'));
    expect(await waiting[2]).toBe('TOO_MANY_REQUESTS');
    // Each of the three has one in line now.
    expect(await list('d')).toBe('TOO_MANY_REQUESTS');
    expect(seen.refused).toBe(3);
    await inner.end(4);
    expect(await Promise.all(waiting)).toEqual(['done', 'done', 'TOO_MANY_REQUESTS', 'done', 'done']);
    expect(inner.calls).toEqual(['a/notes', 'a/notes', 'b/notes', 'c/notes']);
  });

  it('refuses a call that waited too long, without sending it to the store', async () => {
    const { inner, time, seen, list } = build({ maxRunning: 1 });
    const first = list('a');
    const late = [list('a'), list('b')];
    time.advance(5_000);
    expect(await Promise.all(late)).toEqual(['TOO_MANY_REQUESTS', 'TOO_MANY_REQUESTS']);
    await inner.end();
    expect(await first).toBe('done');
    expect([inner.calls.length, seen.figures()]).toEqual([1, { waiting: 0, underWay: 0 }]);
    const next = list('b');
    await inner.end();
    expect(await next).toBe('done');
  });

  it('forwards the failure of a call, and gives its permit to the next one', async () => {
    const { inner, store, seen } = build({ maxRunning: 1 });
    const scope = { user: 'a', workspace: 'w', environment: 'prod' } as const;
    expect(await outcome(store.retrieve(scope, 'k'))).toBe('SECRET_NOT_FOUND');
    expect(seen.figures()).toEqual({ waiting: 0, underWay: 0 });
    inner.failure = new Error('foreign');
    await expect(store.workspacesOf('a')).rejects.toBe(inner.failure);
    expect(seen.figures()).toEqual({ waiting: 0, underWay: 0 });
  });

  it('answers a refused call with the time after which the queue may be done', async () => {
    const { inner, time, store } = build({ maxRunning: 4, maxRunningPerKey: 1, maxWaitingPerKey: 20 });
    const scope = { user: 'a', workspace: 'w', environment: 'prod' } as const;
    const first = store.list(scope);
    time.advance(300);
    await inner.end();
    await first;
    const waiting = Array.from({ length: 21 }, () => outcome(store.list(scope)));
    await expect(store.list(scope)).rejects.toMatchObject({ retryAfterSeconds: 7 });
    await inner.end(21);
    await Promise.all(waiting);
  });

  it('refuses a call that would have too little time left after its wait', async () => {
    const { inner, time, limit, list } = build({ maxRunning: 1 });
    const scope = { user: 'a', workspace: 'w', environment: 'prod' } as const;
    const context = (leftMs: number) => ({ deadline: deadlineIn(leftMs, time), signal: UNATTENDED.signal });
    const first = list('b');
    expect(await outcome(limit.list(scope, context(2_000)))).toBe('TOO_MANY_REQUESTS');
    const waiting = outcome(limit.list(scope, context(3_000)));
    time.advance(1_000);
    expect(await waiting).toBe('TOO_MANY_REQUESTS');
    await inner.end();
    await first;
  });

  it('takes a call whose client has gone out of the queue, and ends no other', async () => {
    const { inner, seen, limit, list } = build({ maxRunning: 1 });
    const client = new AbortController();
    const scope = { user: 'a', workspace: 'w', environment: 'prod' } as const;
    const first = list('b');
    const gone = outcome(limit.list(scope, { deadline: UNATTENDED.deadline, signal: client.signal }));
    const next = list('c');
    client.abort(new ClientGone());
    expect(await gone).toBe('CLIENT_GONE');
    expect(seen.figures()).toEqual({ waiting: 1, underWay: 1 });
    await inner.end(2);
    expect(await Promise.all([first, next])).toEqual(['done', 'done']);
    expect(inner.calls).toEqual(['b/notes', 'c/notes']);
    expect(seen.refused).toBe(0);
  });
});

describe('concurrent creates of one name', () => {
  const SCOPE = { user: 'a', workspace: 'w', environment: 'prod' } as const;
  const build = (bounds: Partial<ConcurrencyBounds> = {}) => {
    const inner = new MemorySecretStore();
    const limit = new ConcurrencyLimitSecretStore(
      inner,
      { ...OPTIONS, ...bounds },
      new FixedMonotonicTime(),
      undefined,
    );
    const store = new StoreClient(limit);
    const create = (name = 'k') => outcome(store.create(SCOPE, { name, value: 'v' }));
    return { inner, store, create, creates: () => inner.calls.filter((call) => /^create/.test(call)).length };
  };

  it('get the outcome of the first one, without a place in the queue', async () => {
    const { create, creates } = build({ maxRunningPerKey: 1, maxWaitingPerKey: 60 });
    const outcomes = await Promise.all([...Array.from({ length: 50 }, () => create()), create('other')]);
    expect(outcomes).toEqual(['done', ...Array(49).fill('SECRET_ALREADY_EXISTS'), 'done']);
    expect(creates()).toBe(2);
  });

  it('are sent one after the other when the first one failed', async () => {
    const { inner, create } = build();
    const passOn = inner.create.bind(inner);
    let failed = 0;
    inner.create = async (scope, secret) => {
      await new Promise(setImmediate);
      if ((failed += 1) === 1) throw new StoreUnreachable();
      await passOn(scope, secret);
    };
    const [failing, ...next] = [create(), create(), create()];
    expect(await Promise.all([failing, ...next])).toEqual([
      'STORE_UNAVAILABLE',
      'done',
      'SECRET_ALREADY_EXISTS',
    ]);
  });

  it('wait no longer than for a permit, and are then too many, so that no time runs out on the store', async () => {
    const { inner, store } = build({ reserveMs: 5_000 });
    inner.gate = new Promise(() => undefined);
    const time = new FixedMonotonicTime();
    const context = { deadline: deadlineIn(5_010, time), signal: UNATTENDED.signal };
    const create = () => outcome(store.store.create(SCOPE, { name: 'k', value: 'v' }, context));
    void create();
    expect(await Promise.all([create(), create()])).toEqual(['TOO_MANY_REQUESTS', 'TOO_MANY_REQUESTS']);
  });

  it('are refused when too many of them wait', async () => {
    const { inner, create } = build({ maxWaitingPerKey: 2 });
    let open = (): void => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const creates = [create(), create(), create()];
    expect(await create()).toBe('TOO_MANY_REQUESTS');
    open();
    expect(await Promise.all(creates)).toEqual(['done', 'SECRET_ALREADY_EXISTS', 'SECRET_ALREADY_EXISTS']);
    expect(await create()).toBe('SECRET_ALREADY_EXISTS');
  });
});
