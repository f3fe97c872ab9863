import { WriteSlots } from '../../../src/stores/infisical/transport/upstream-rate-limits';

const never = () => new Promise<never>(() => undefined);
const times = (maxWaitMs: number) => ({ maxWaitMs, minCallMs: 0 });
const late = () => new Error('late');

describe('a write while four others are being sent', () => {
  it('is not sent when none of them ends in time, and leaves its slot to the next one', async () => {
    const slots = new WriteSlots();
    let end = (): void => undefined;
    const first = slots.run(times(1_000), () => new Promise<void>((resolve) => (end = resolve)), late);
    for (let i = 0; i < 3; i++) void slots.run(times(1_000), never, late);
    let sent = 0;
    const send = () => Promise.resolve((sent += 1));
    await expect(slots.run(times(5), send, late)).rejects.toThrow('late');
    end();
    await first;
    expect(sent).toBe(0);
    await slots.run(times(1_000), send, late);
    await slots.run(times(1_000), send, late);
    expect(sent).toBe(2);
  });

  it('is not sent when the time that is left for it would be too short', async () => {
    const slots = new WriteSlots();
    for (let i = 0; i < 4; i++) void slots.run(times(60_000), never, late);
    const waits = slots.run({ maxWaitMs: 60_000, minCallMs: 59_995 }, never, late);
    await expect(waits).rejects.toThrow('late');
  });
});
