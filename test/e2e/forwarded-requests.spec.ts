import type { IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import { isForwarded, recordForwarding } from '../../src/http/request/credential-headers';
import { ClusterService, PEERS, PROXY_REQUEST } from '../support/cluster-service';
import { httpCall } from '../support/http-call';

const AS_READER = { 'x-bfl-user': 'alice', 'x-remote-user': 'system:serviceaccount:reader-alice:default' };
const SCOPE = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;

describe('a request that a proven proxy forwards', () => {
  let cluster: ClusterService;
  afterEach(() => cluster.close());

  it('is not read as a ProxyRequest where the proxy names the calling app', async () => {
    cluster = await ClusterService.start({ rbacProxy: 'service-accounts' });
    await cluster.store.create(SCOPE, { name: 'k', value: 'canary-victim' });
    const calls = [...cluster.store.calls];
    const answer = await httpCall(`${cluster.url}/ListSecret`, {
      headers: AS_READER,
      body: PROXY_REQUEST,
      from: PEERS.trustedProxy,
    });
    expect([answer.status, answer.body.data.reason]).toEqual([401, 'UNAUTHENTICATED']);
    expect(cluster.store.calls).toEqual(calls);
  });

  const BODY = JSON.stringify(PROXY_REQUEST);
  const FORGED = `POST /ListSecret HTTP/1.1\r\nHost: x\r\nX-BFL-USER: alice\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

  // system-server's RBAC proxy hands the connection over to whoever asked for a WebSocket, whatever we answer.
  it.each([
    ['asked for a WebSocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'],
    ['was forwarded', 'X-Forwarded-For: 10.0.0.7\r\n'],
    ['named another caller', 'X-Remote-User: system:serviceaccount:reader-alice:default\r\n'],
  ])('is no ProxyRequest on a connection on which something %s before', async (_, headers) => {
    cluster = await ClusterService.start();
    await cluster.store.create(SCOPE, { name: 'k', value: 'canary-victim' });
    const first = `GET /RetrieveSecret?workspace=reader HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
    for (const together of [true, false]) {
      const text = await conversation(cluster.url, first, FORGED, together);
      expect(text).not.toContain('canary-victim');
      // What stands behind a wish for another protocol is not read at all until that has its answer.
      if (!together) expect(text).toContain('UNAUTHENTICATED');
    }
    // Without the first, it is system-server's own.
    expect(await conversation(cluster.url, '', FORGED, true)).toContain('canary-victim');
  });
});

it('may be forwarded where it has more headers than Node shows, and so may all behind it', () => {
  const socket = new Socket();
  const request = (pairs: number) =>
    ({ headersDistinct: {}, rawHeaders: Array(2 * pairs).fill('a'), socket }) as unknown as IncomingMessage;
  recordForwarding(request(100));
  expect(isForwarded(request(1))).toBe(false);
  recordForwarding(request(1_000));
  expect(isForwarded(request(1))).toBe(true);
});

/** Both on one connection from alice's system-server, at once or one after the other's answer. */
function conversation(url: string, first: string, second: string, together: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(url);
    const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: PEERS.alicesSystemServer });
    let text = '';
    const wanted = first === '' ? 1 : 2;
    let sent = together;
    // Of those that are sent at once, the second may have no answer; who waits for one has time.
    socket.setTimeout(together && wanted === 2 ? 500 : 2_000, () => socket.destroy());
    socket.on('error', reject).on('close', () => resolve(text));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (!sent) {
        sent = true;
        socket.write(second);
      }
      if (text.split('HTTP/1.1 ').length > wanted) socket.end();
    });
    socket.write(together ? first + second : first);
  });
}
