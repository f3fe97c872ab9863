import { StoreUnavailable } from '../../src/errors/store-errors';
import { exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';

describe('readiness', () => {
  const store = new MemorySecretStore();
  let service: Service;
  beforeAll(async () => {
    service = await startService({ clock: new FixedClock(), store, grantSource: exampleApps() });
  });
  afterAll(async () => service.close());

  it('pings the store once for concurrent requests, and does not remember the answer', async () => {
    let [asking, most, asked] = [0, 0, 0];
    store.ping = async () => {
      asked += 1;
      most = Math.max(most, (asking += 1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      asking -= 1;
      if (store.failure !== undefined) throw store.failure;
    };
    const flood = async () => {
      const ask = async () => (await httpCall(`${service.url}/readyz`, { method: 'GET' })).status;
      return new Set(await Promise.all(Array.from({ length: 60 }, ask)));
    };
    expect(await flood()).toEqual(new Set([200]));
    store.failure = new StoreUnavailable();
    expect(await flood()).toEqual(new Set([503]));
    expect(most).toBe(1);
    expect(asked).toBeLessThan(60);
  });
});
