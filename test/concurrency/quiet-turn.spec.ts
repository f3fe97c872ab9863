import { connectionAccepted, quietTurn } from '../../src/concurrency/quiet-turn';

const nextTurn = (): Promise<void> => new Promise(setImmediate);

describe('a step of large work', () => {
  it('is done alone in its turn of the event loop, in the order in which they were asked for', async () => {
    const done: number[] = [];
    for (let step = 0; step < 4; step += 1) void quietTurn('open', 'alice').then(() => done.push(step));
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

  it('comes after those that are nearer to the end of their answer, and by turns among those for whom they are', async () => {
    const done: string[] = [];
    const ask = (stage: 'write' | 'hash' | 'open' | 'parse', key: string) =>
      quietTurn(stage, key).then(() => done.push(`${stage} for ${key}`));
    const asked = [ask('open', 'alice'), ask('open', 'alice'), ask('open', 'bob'), ask('parse', ''), ask('write', 'alice'), ask('hash', 'bob')]; // prettier-ignore
    await Promise.all(asked);
    expect(done).toEqual(['write for alice', 'hash for bob', 'open for alice', 'open for bob', 'open for alice', 'parse for ']); // prettier-ignore
  });

  it('waits while connections come in, three milliseconds of ten at most', async () => {
    let nowMs = 1_000;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const turnsOfStep = async (): Promise<number> => {
      let isDone = false;
      const step = quietTurn('open', 'alice').then(() => (isDone = true));
      let turns = 0;
      for (; !isDone; turns += 1) {
        connectionAccepted();
        nowMs += 0.5;
        await nextTurn();
      }
      await step;
      return turns;
    };
    const turns = [await turnsOfStep(), await turnsOfStep(), await turnsOfStep()];
    nowMs += 10;
    turns.push(await turnsOfStep());
    jest.restoreAllMocks();
    expect(turns.map((count) => count > 3)).toEqual([true, false, false, true]);
  });
});
