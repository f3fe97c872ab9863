import { connect, type AddressInfo } from 'node:net';
import { secureServer } from '../../src/http/server/secure-server';
import { fixed } from '../../src/reloadable/reloadable';
import { TestAuthority } from '../support/certificates';

describe('the server behind TLS', () => {
  it('closes a connection that does not finish its TLS handshake in time', async () => {
    const identity = fixed(new TestAuthority().certificateFor('127.0.0.1'));
    const server = secureServer({ handshakeTimeout: 100 }, undefined, identity);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const silent = connect((server.address() as AddressInfo).port, '127.0.0.1');
    silent.on('error', () => undefined);
    await new Promise((resolve) => silent.once('close', resolve));
    await new Promise((resolve) => server.close(resolve));
  });
});
