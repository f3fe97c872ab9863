import { rateReportOf, retryAfterOf } from '../../../src/stores/infisical/transport/infisical-client';

describe('the report of a server about its rate limits', () => {
  it('is followed for a wait that fits its windows', () => {
    expect(retryAfterOf({ 'retry-after': '59' })).toBe(59_000);
    expect(retryAfterOf({ 'x-ratelimit-reset': '42' })).toBe(42_000);
  });

  it('closes a route for at most five minutes, whatever it says', () => {
    expect(retryAfterOf({ 'retry-after': '999999999' })).toBe(300_000);
    const headers = {
      'x-ratelimit-limit': '40',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '999999999',
    };
    expect(rateReportOf(headers, { status: 200 })).toMatchObject({ resetMs: 300_000 });
  });

  it('names no wait where the header is not a whole number', () => {
    for (const value of ['-1', '1.5', 'soon', '9999999999', '', ['1', '2']])
      expect(retryAfterOf({ 'retry-after': value })).toBeUndefined();
  });
});
