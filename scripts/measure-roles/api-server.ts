import { accessObjects } from '../../src/registration/access-roles';
import { FakeApiServer } from '../../test/support/fake-api-server/fake-api-server';
import { APPS, appAt, OPTIONS } from './many-apps';

/**
 * The cluster, in a process of its own so that its memory is not counted as ours; with `filled` as its argument it has the
 * roles of all apps. Each message is answered with what it was asked and has.
 */
async function main(): Promise<void> {
  const server = await FakeApiServer.start();
  const [roles, bindings] = [server.of('clusterroles'), server.of('clusterrolebindings')];
  for (let at = 0; process.argv[2] === 'filled' && at < APPS; at++) {
    for (const { role, binding } of accessObjects(appAt(at), OPTIONS)) {
      roles.put({ ...role });
      bindings.put({ ...binding });
    }
  }
  process.on('message', () => {
    const requests = server.requests.splice(0);
    const writes = requests.filter(({ method }) => method !== 'GET').length;
    const objects = roles.list().length + bindings.list().length;
    process.send?.({ reads: requests.length - writes, writes, objects });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ url: server.url, token: server.token });
}

void main();
