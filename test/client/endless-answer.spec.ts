import { randomFillSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { constants, deflateRawSync } from 'node:zlib';
import { SecretVault } from '../../src/client/index';
import { describeWith } from '../support/describe-with';
import { python } from './drivers';

/** Takes about a quarter of its size in gzip: of blanks alone the sockets would hold many times what the client takes. */
const MIB = Buffer.alloc(1024 * 1024, ' ');
for (let at = 0; at < MIB.length; at += 1024) randomFillSync(MIB, at, 256);
const GZIP_HEADER = Buffer.from('1f8b08000000000000ff', 'hex');
/** Behind a full flush the next block refers to nothing before it, so that one block can be sent again and again. */
const ZIPPED_MIB = deflateRawSync(MIB, { finishFlush: constants.Z_FULL_FLUSH });
const app = { workspace: 'ws', appKey: 'fake-key', appSecret: 'fake-secret' };
let sentMib = 0;
let server: Server;
let url: string;

/** Answers without end, in gzip where the client takes it. */
beforeAll(async () => {
  server = createServer((request, response) => {
    const isZipped = String(request.headers['accept-encoding']).includes('gzip');
    response.writeHead(200, isZipped ? { 'content-encoding': 'gzip' } : {});
    if (isZipped) response.write(GZIP_HEADER);
    sentMib = 0;
    const send = (): void => {
      if (response.destroyed) return;
      sentMib += 1;
      if (response.write(isZipped ? ZIPPED_MIB : MIB)) setImmediate(send);
      else response.once('drain', send);
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
    // What the sockets hold is sent too.
    expect(sentMib).toBeLessThan(256);
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
