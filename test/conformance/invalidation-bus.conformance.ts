import type { InvalidationBus, WrittenScope } from '../../src/stores/cached/invalidation-bus';

/** The buses of some replicas that hear one another; one where there is no other. */
export interface InvalidationBusUnderTest {
  open(): Promise<{
    readonly buses: readonly [InvalidationBus, ...InvalidationBus[]];
    /** Resolves when all that was published has arrived. */
    readonly arrived: () => Promise<void>;
  }>;
}

const SCOPE = { scope: '["alice","notes","prod"]' };
const OTHER = { scope: '["alice","ünïcode 🔑","dev"]' };

/** The contract of InvalidationBus. */
export function describeInvalidationBus(title: string, subject: InvalidationBusUnderTest): void {
  describe(`${title} keeps the contract of InvalidationBus`, () => {
    async function opened() {
      const { buses, arrived } = await subject.open();
      const [bus, ...others] = buses;
      const heard = buses.map((one) => {
        const written: WrittenScope[] = [];
        one.listen((scope) => written.push(scope));
        return written;
      });
      return { bus, others, arrived, own: heard[0] ?? [], heard: heard.slice(1) };
    }

    it('receives where all replicas are connected', async () => {
      const { bus, others } = await opened();
      expect([bus, ...others].map(({ received }) => received)).toEqual([true, ...others.map(() => true)]);
    });

    it('tells every other replica which scope was written, in order, and not its own', async () => {
      const { bus, heard, own, arrived } = await opened();
      await bus.publish(SCOPE);
      await bus.publish(OTHER);
      await bus.publish('unknown');
      await arrived();
      expect(own).toEqual([]);
      expect(heard).toEqual(heard.map(() => [SCOPE, OTHER, 'unknown']));
    });

    it('tells all listeners of a replica', async () => {
      const { bus, others, arrived } = await opened();
      const more: WrittenScope[] = [];
      for (const other of others) other.listen((written) => more.push(written));
      await bus.publish(SCOPE);
      await arrived();
      expect(more).toEqual(others.map(() => SCOPE));
    });

    it('takes many writes at once, and tells of each', async () => {
      const { bus, heard, arrived } = await opened();
      const scopes = Array.from({ length: 50 }, (_, at) => ({ scope: `scope ${at}` }));
      await Promise.all(scopes.map((scope) => bus.publish(scope)));
      await arrived();
      for (const written of heard) expect(new Set(written)).toEqual(new Set(scopes));
    });
  });
}
