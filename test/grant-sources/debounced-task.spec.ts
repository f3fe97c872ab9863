import { DebouncedTask } from '../../src/grant-sources/directory/directory.grant-source';

const DEBOUNCE_TIMES = { quietMs: 100, maxWaitMs: 500 };

describe('a debounced task', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('runs once for a burst, after it', async () => {
    let runs = 0;
    const task = new DebouncedTask(async () => void runs++, DEBOUNCE_TIMES);
    for (let i = 0; i < 4; i++) {
      task.request();
      await jest.advanceTimersByTimeAsync(90);
      expect(runs).toBe(0);
    }
    await jest.advanceTimersByTimeAsync(10);
    expect(runs).toBe(1);
    await jest.advanceTimersByTimeAsync(1000);
    expect(runs).toBe(1);
  });

  it('does not wait for quiet for ever', async () => {
    let runs = 0;
    const task = new DebouncedTask(async () => void runs++, DEBOUNCE_TIMES);
    for (let i = 0; i < 11; i++) {
      task.request();
      await jest.advanceTimersByTimeAsync(50);
    }
    expect(runs).toBe(1);
  });

  it('never runs twice at a time, and again for a request during a run', async () => {
    const running: (() => void)[] = [];
    const task = new DebouncedTask(
      () => new Promise<void>((resolve) => void running.push(resolve)),
      DEBOUNCE_TIMES,
    );
    task.request();
    await jest.advanceTimersByTimeAsync(100);
    task.request();
    await jest.advanceTimersByTimeAsync(1000);
    expect(running).toHaveLength(1);
    running[0]?.();
    await jest.advanceTimersByTimeAsync(0);
    expect(running).toHaveLength(2);
    running[1]?.();
  });

  it('is quiet once closed, and closes when the run under way has ended', async () => {
    const running: (() => void)[] = [];
    const task = new DebouncedTask(
      () => new Promise<void>((resolve) => void running.push(resolve)),
      DEBOUNCE_TIMES,
    );
    void task.run();
    await jest.advanceTimersByTimeAsync(0);
    let closed = false;
    const closing = task.close().then(() => (closed = true));
    task.request();
    void task.run();
    await jest.advanceTimersByTimeAsync(1000);
    expect(closed).toBe(false);
    running[0]?.();
    await closing;
    expect(running).toHaveLength(1);
  });
});
