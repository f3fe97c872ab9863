import { UNATTENDED } from '../../src/secrets/secret';
import type { ScopeLock } from '../../src/concurrency/keyed-work';

/** The locks of some replicas; one where there can be no other. */
export interface ScopeLockUnderTest {
  open(): Promise<readonly [ScopeLock, ...ScopeLock[]]>;
}

const SCOPE = '["alice","notes","prod"]';
const OTHER = '["alice","notes","dev"]';

/** The contract of ScopeLock. Each test ends with the scopes free. */
export function describeScopeLock(title: string, subject: ScopeLockUnderTest): void {
  describe(`${title} keeps the contract of ScopeLock`, () => {
    it('is granted where nobody holds it, also without any time to wait', async () => {
      const [lock] = await subject.open();
      const held = await lock.hold(SCOPE, 0, UNATTENDED.signal);
      expect(held).toBeDefined();
      held?.release();
    });

    it('is granted again after each release', async () => {
      const [lock] = await subject.open();
      for (let turn = 0; turn < 5; turn++) {
        const held = await lock.hold(SCOPE, 5_000, UNATTENDED.signal);
        expect(held).toBeDefined();
        held?.release();
      }
    });

    it('is granted for another scope meanwhile', async () => {
      const [lock, other = lock] = await subject.open();
      const held = await lock.hold(SCOPE, 0, UNATTENDED.signal);
      const beside = await other.hold(OTHER, 0, UNATTENDED.signal);
      expect(beside).toBeDefined();
      beside?.release();
      held?.release();
    });

    it('may be released twice, which frees it for nobody a second time', async () => {
      const [lock, other] = await subject.open();
      const first = await lock.hold(SCOPE, 0, UNATTENDED.signal);
      first?.release();
      const next = await (other ?? lock).hold(SCOPE, 5_000, UNATTENDED.signal);
      first?.release();
      if (other !== undefined) expect(await lock.hold(SCOPE, 200, UNATTENDED.signal)).toBeUndefined();
      next?.release();
    });

    it('lets one replica at a time work, and each of them in the end', async () => {
      const locks = await subject.open();
      let working = 0;
      const order: number[] = [];
      const work = async (lock: ScopeLock, replica: number): Promise<void> => {
        for (let turn = 0; turn < 3; turn++) {
          const held = await lock.hold(SCOPE, 20_000, UNATTENDED.signal);
          expect(held).toBeDefined();
          working += 1;
          expect(working).toBe(1);
          await new Promise((resolve) => setTimeout(resolve, 10));
          working -= 1;
          order.push(replica);
          held?.release();
        }
      };
      await Promise.all(locks.map(work));
      expect(order.sort()).toEqual(locks.flatMap((_, replica) => [replica, replica, replica]));
    });

    it('is refused where another replica holds it for all of the wait', async () => {
      const [lock, ...others] = await subject.open();
      const held = await lock.hold(SCOPE, 0, UNATTENDED.signal);
      for (const other of others) expect(await other.hold(SCOPE, 100, UNATTENDED.signal)).toBeUndefined();
      held?.release();
    });
  });
}
