import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { proxySetting } from '../../src/config/store-settings';

const URL_ = 'https://infisical.example';
const PROXY = 'http://proxy:3128';
const used = (env: Record<string, string>, url = URL_) => proxySetting(env, url);

describe('the user and the password of a proxy', () => {
  it('are each to be decodable by themselves', () => {
    const url = 'http://a%:20b@proxy:3128';
    expect(proxySetting({ HTTP_PROXY: url }, 'http://i.example')).toMatchObject({ name: 'HTTP_PROXY' });
  });
});

describe('the proxy', () => {
  it('is that of the scheme, in lower case before upper case, with http where it names no scheme', () => {
    expect(used({})).toEqual({});
    expect(used({ HTTPS_PROXY: PROXY })).toEqual({ proxyUrl: PROXY });
    expect(used({ HTTPS_PROXY: PROXY, https_proxy: 'https://u:p@other' })).toEqual({
      proxyUrl: 'https://u:p@other',
    });
    expect(used({ HTTP_PROXY: PROXY, ALL_PROXY: PROXY })).toEqual({});
    expect(used({ HTTPS_PROXY: PROXY }, 'http://infisical.example')).toEqual({});
    expect(used({ http_proxy: 'proxy:3128' }, 'http://infisical.example')).toEqual({ proxyUrl: PROXY });
    expect(used({ HTTPS_PROXY: ' ', https_proxy: '' })).toEqual({});
  });

  it.each([
    'localhost',
    'infisical.localhost',
    '127.0.0.1',
    '127.9.9.9',
    '[::1]',
    'localhost:8080',
    'localhost.',
    '[::ffff:127.0.0.1]',
  ])('never stands before this machine itself: %s', (host) => {
    expect(used({ HTTPS_PROXY: PROXY }, `https://${host}`)).toEqual({});
  });

  it.each([
    ['*', URL_],
    ['infisical.example', URL_],
    ['INFISICAL.example', 'https://Infisical.EXAMPLE'],
    ['example', URL_],
    ['.example', URL_],
    ['*.example', URL_],
    ['a.b, infisical.example', URL_],
    ['a.b infisical.example', URL_],
    ['infisical.example:443', URL_],
    ['.example:8443', 'https://infisical.example:8443/path'],
    ['.svc', 'https://infisical.os-platform.svc:8080'],
    ['10.1.2.3', 'https://10.1.2.3'],
    ['10.0.0.0/8', 'https://10.1.2.3:8080'],
    ['fd00::1', 'https://[fd00::1]'],
    ['[fd00::1]:8443', 'https://[fd00::1]:8443'],
    ['fd00::/8', 'https://[fd12::1]'],
  ])('is passed by where NO_PROXY is %p: %s', (exceptions, url) => {
    expect(used({ HTTPS_PROXY: PROXY, NO_PROXY: exceptions }, url)).toEqual({});
    expect(used({ HTTPS_PROXY: PROXY, NO_PROXY: '*', no_proxy: 'other' }, url)).toEqual({ proxyUrl: PROXY });
  });

  it.each([
    ['', URL_],
    [',', URL_],
    ['.', URL_],
    ['.infisical.example', URL_],
    ['fisical.example', URL_],
    ['infisical.example.org', URL_],
    ['infisical.example:8443', URL_],
    ['10.0.0.0/8', 'https://11.1.2.3'],
    ['10.0.0.0/99', 'https://10.1.2.3'],
    ['10.0.0.0/8', 'https://10.example'],
    ['1.2.3', 'https://10.1.2.3'],
    ['0.0.0.0/0', 'https://[fd00::1]'],
    ['https://infisical.example', URL_],
  ])('is used where NO_PROXY is %p: %s', (exceptions, url) => {
    expect(used({ HTTPS_PROXY: PROXY, NO_PROXY: exceptions }, url)).toEqual({ proxyUrl: PROXY });
  });

  it.each([
    'socks5://canary:1080',
    'http://',
    'http://canary/path',
    'http://canary:99999',
    'http://canary?q',
    'http://a:canary%@b',
    'ftp://canary',
  ])('is a problem of its variable, without its value: %s', (text) => {
    const problem = 'must be an http or https URL without a path, with user and password if it wants any';
    expect(used({ HTTPS_PROXY: text })).toEqual({ name: 'HTTPS_PROXY', problem });
    expect(used({ HTTPS_PROXY: text, NO_PROXY: '.example' })).toEqual({});
  });

  describe('from a file, as any credential', () => {
    const dir = mkdtempSync(join(tmpdir(), 'proxy-'));
    const file = join(dir, 'proxy');
    afterAll(() => rmSync(dir, { recursive: true }));

    it('is what the file holds, for the scheme that it is named for', () => {
      writeFileSync(file, 'http://user:canary@proxy:3128\n');
      const proxyUrl = 'http://user:canary@proxy:3128';
      expect(used({ HTTPS_PROXY_FILE: file })).toEqual({ proxyUrl });
      expect(used({ HTTP_PROXY_FILE: file })).toEqual({});
      expect(used({ HTTP_PROXY_FILE: file }, 'http://infisical.example')).toEqual({ proxyUrl });
      expect(used({ HTTPS_PROXY_FILE: file, NO_PROXY: '.example' })).toEqual({});
      writeFileSync(file, 'user:canary@proxy:3128');
      expect(used({ HTTPS_PROXY_FILE: file })).toEqual({ proxyUrl });
    });

    it('is a problem where it is given twice, cannot be read, or holds no proxy', () => {
      writeFileSync(file, PROXY);
      for (const name of ['HTTPS_PROXY', 'https_proxy']) {
        expect(used({ [name]: PROXY, HTTPS_PROXY_FILE: file })).toEqual({
          name: 'HTTPS_PROXY',
          problem: 'and HTTPS_PROXY_FILE are both set; set one',
        });
      }
      const absent = join(dir, 'absent');
      expect(used({ HTTPS_PROXY_FILE: absent })).toEqual({
        name: 'HTTPS_PROXY_FILE:',
        problem: `${absent} cannot be read (ENOENT)`,
      });
      for (const text of ['', 'socks5://canary:1080', 'http://a:canary%@b']) {
        writeFileSync(file, text);
        const problem = 'must be an http or https URL without a path, with user and password if it wants any';
        expect(used({ HTTPS_PROXY_FILE: file })).toEqual({ name: 'HTTPS_PROXY_FILE', problem });
      }
    });
  });
});
