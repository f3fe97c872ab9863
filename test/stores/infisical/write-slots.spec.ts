import { WriteSlots } from '../../../src/stores/infisical/transport/call-time';

const late = () => new Error('late');

describe('a write while four others are being sent', () => {
  it('is not sent when none of them ends in time, and leaves its slot to the next one', async () => {
    const slots = new WriteSlots();
    const first = await slots.acquire({ maxWaitMs: 1_000 }, late);
    for (let i = 0; i < 3; i++) await slots.acquire({ maxWaitMs: 1_000 }, late);
    await expect(slots.acquire({ maxWaitMs: 5 }, late)).rejects.toThrow('late');
    first.release();
    (await slots.acquire({ maxWaitMs: 1_000 }, late)).release();
    expect((await slots.acquire({ maxWaitMs: 1_000 }, late)).leftMs).toBeLessThanOrEqual(1_000);
  });

  it('is not sent when the time that is left for it would be too short', async () => {
    const slots = new WriteSlots();
    for (let i = 0; i < 4; i++) await slots.acquire({ maxWaitMs: 60_000 }, late);
    const waits = slots.acquire({ maxWaitMs: 60_000, minCallMs: 59_995 }, late);
    await expect(waits).rejects.toThrow('late');
  });
});
