import { urlOf } from '../../src/development/example-caller';

describe('urlOf', () => {
  it.each([
    ['127.0.0.1', 'http://127.0.0.1:8080'],
    ['localhost', 'http://localhost:8080'],
    ['::1', 'http://[::1]:8080'],
  ])('of %s is a URL', (host, url) => {
    expect(urlOf(host, 8080)).toBe(url);
    expect(URL.canParse(url)).toBe(true);
  });
});
