import { ConnectionRates } from '../../src/http/server/accepted-connections';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

describe('the connections that an address opens', () => {
  const opened = (rates: ConnectionRates, address: string, count: number): number =>
    Array.from({ length: count }, () => rates.take(address)).filter(Boolean).length;

  it('are 500 at once, and twenty a second after that', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    expect(opened(rates, '10.0.0.1', 1_000)).toBe(500);
    for (let second = 0; second < 5; second += 1) {
      time.advance(500);
      expect(opened(rates, '10.0.0.1', 1_000)).toBe(10);
    }
    time.advance(25_000);
    expect(opened(rates, '10.0.0.1', 1_000)).toBe(500);
  });

  it('are 200 a second of all addresses together that flood, and each of them gets some', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    const addresses = Array.from({ length: 20 }, (_, at) => `10.0.0.${at}`);
    for (const address of addresses) expect(opened(rates, address, 501)).toBe(500);
    time.advance(1_000);
    expect(addresses.map((address) => opened(rates, address, 500))).toEqual(addresses.map(() => 10));
  });

  it('are not fewer for an address with callers, however many others flood', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    for (let second = 0; second < 10; second += 1) {
      for (let address = 0; address < 50; address += 1) opened(rates, `10.0.0.${address}`, 1_000);
      expect(opened(rates, '10.1.0.1', 200)).toBe(200);
      for (let at = 0; at < 200; at += 1) rates.giveBack('10.1.0.1');
      time.advance(1_000);
    }
    for (let at = 0; at < 1_000; at += 1) rates.giveBack('10.1.0.1');
    expect(opened(rates, '10.1.0.1', 1_000)).toBe(500);
  });

  it('are 200 a second where a caller was authenticated within the last minute, also those that are refused', () => {
    const time = new FixedMonotonicTime();
    const rates = new ConnectionRates(time);
    const ofCaller = (count: number): number =>
      Array.from({ length: count }, () => rates.take('10.1.0.1', true)).filter(Boolean).length;
    expect(ofCaller(1_000)).toBe(500);
    time.advance(1_000);
    expect(ofCaller(1_000)).toBe(200);
  });
});
