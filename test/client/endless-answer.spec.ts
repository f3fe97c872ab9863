import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGzip } from 'node:zlib';
import { SecretVault } from '../../src/client/index';
import { describeWith } from '../support/describe-with';
import { python } from './drivers';

const MIB = Buffer.alloc(1024 * 1024, ' ');
const app = { workspace: 'ws', appKey: 'fake-key', appSecret: 'fake-secret' };
let sentMib = 0;
let server: Server;
let url: string;

/** Answers with blanks without end, which take a thousandth of their size in gzip. */
beforeAll(async () => {
  server = createServer((request, response) => {
    const isZipped = String(request.headers['accept-encoding']).includes('gzip');
    response.writeHead(200, isZipped ? { 'content-encoding': 'gzip' } : {});
    const body = isZipped ? createGzip() : response;
    if (body !== response) body.pipe(response);
    sentMib = 0;
    const send = (): void => {
      if (response.destroyed) return;
      sentMib += 1;
      if (body.write(MIB)) setImmediate(send);
      else body.once('drain', send);
    };
    send();
  });
  await new Promise<void>((listens) => server.listen(0, '127.0.0.1', listens));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe('an answer without end', () => {
  it('is not taken for one of the service, and not held, by the client for Node.js', async () => {
    const vault = new SecretVault({ url, ...app, maxRetries: 0 });
    await expect(vault.retrieve('a')).rejects.toMatchObject({ reason: 'NOT_UNDERSTOOD' });
    // What the compression holds is sent too.
    expect(sentMib).toBeLessThan(512);
  });

  describeWith('python3-bcrypt', 'nor by the client for Python', () => {
    it('is refused', async () => {
      const { workspace, appKey, appSecret } = app;
      const fakes = { WORKSPACE: workspace, APP_KEY: appKey, APP_SECRET: appSecret, USER_TOKEN: 'fake' };
      const outcomes = await python([{ method: 'retrieve', name: 'a' }], {
        URL: url,
        VIA_SYSTEM_SERVER: '',
        ...fakes,
      });
      expect(outcomes).toEqual([{ error: 'NOT_UNDERSTOOD' }]);
    });
  });
});
