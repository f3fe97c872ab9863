import { afterWaiting } from '../../../src/secrets/waited';
import { remainingMs } from '../../../src/store/infisical/deadline';
import { Operations } from '../../../src/store/infisical/operations';
import { NO_OTHER_REPLICA } from '../../../src/store/infisical/scope-lock';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

describe('an operation on Infisical', () => {
  const time = new FixedMonotonicTime();
  const operations = new Operations(20_000, time, () => undefined, NO_OTHER_REPLICA);
  const leftMs = () => operations.run(async (deadline) => remainingMs(deadline, time));

  it('has its whole time, less what it waited for its turn before', async () => {
    expect(await leftMs()).toBe(20_000);
    expect(await afterWaiting(3_000, leftMs)).toBe(17_000);
    expect(await leftMs()).toBe(20_000);
  });
});
