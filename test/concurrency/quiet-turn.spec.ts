import { connectionAccepted, quietTurn } from '../../src/concurrency/quiet-turn';

const nextTurn = (): Promise<void> => new Promise(setImmediate);

describe('a step of large work', () => {
  it('is done alone in its turn of the event loop, in the order in which they were asked for', async () => {
    const done: number[] = [];
    for (let step = 0; step < 4; step += 1) void quietTurn().then(() => done.push(step));
    const counts: number[] = [];
    while (done.length < 4) {
      await nextTurn();
      counts.push(done.length);
    }
    expect(done).toEqual([0, 1, 2, 3]);
    expect(counts.map((count, turn) => count - (counts[turn - 1] ?? 0)).every((steps) => steps <= 1)).toBe(
      true,
    );
  });

  it('waits while connections come in, and not for ever', async () => {
    let isDone = false;
    const step = quietTurn().then(() => (isDone = true));
    let turns = 0;
    while (!isDone) {
      connectionAccepted();
      turns += 1;
      await nextTurn();
    }
    await step;
    expect(turns).toBeGreaterThan(2);
  });
});
