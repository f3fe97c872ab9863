import { FakeApiServer } from '../../test/support/fake-api-server/fake-api-server';

/** The cluster, in a process of its own so that its memory is not counted as ours. Each message is answered with what it has. */
async function main(): Promise<void> {
  const server = await FakeApiServer.start();
  process.on('message', () => {
    const requests = server.requests.splice(0);
    const writes = requests.filter(({ method }) => method !== 'GET').length;
    process.send?.({
      reads: requests.length - writes,
      writes,
      roles: server.of('clusterroles').list().length,
      bindings: server.of('clusterrolebindings').list().length,
    });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ url: server.url, token: server.token });
}

void main();
