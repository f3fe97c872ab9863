import { ConnectionRates } from '../../src/http/server/connection-rates';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

describe('the connections that an address opens', () => {
  const opened = (rates: ConnectionRates, address: string, count: number): number =>
    Array.from({ length: count }, () => rates.take(address)).filter(Boolean).length;

  it('are as many as it may hold at once, and 200 a second after that', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    expect(opened(rates, '10.0.0.1', 1_000)).toBe(500);
    for (let second = 0; second < 5; second += 1) {
      time.advance(1_000);
      expect(opened(rates, '10.0.0.1', 1_000)).toBe(200);
    }
    time.advance(2_500);
    expect(opened(rates, '10.0.0.1', 1_000)).toBe(500);
  });

  it('are 800 a second of all addresses together that flood, and each of them gets some', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    const addresses = Array.from({ length: 20 }, (_, at) => `10.0.0.${at}`);
    for (const address of addresses) expect(opened(rates, address, 501)).toBe(500);
    time.advance(1_000);
    const counts = addresses.map((address) => opened(rates, address, 500));
    expect(counts).toEqual(addresses.map(() => 40));
  });

  it('are not fewer for an address that does not flood, however many others do', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    for (let second = 0; second < 10; second += 1) {
      for (let address = 0; address < 50; address += 1) opened(rates, `10.0.0.${address}`, 1_000);
      expect(opened(rates, '10.1.0.1', 40)).toBe(40);
      time.advance(1_000);
    }
  });
});
