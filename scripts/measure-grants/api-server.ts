import { FakeApiServer } from '../../test/support/fake-api-server/fake-api-server';
import { permissionOf } from '../../test/support/application-permission';
import { APPS, appOf, MANIFESTS, mapOf, USERS } from './cluster-size';

/** The cluster, in a process of its own so that its memory is not counted as ours. */
async function main(): Promise<void> {
  const server = await FakeApiServer.start();
  const put = (app: ReturnType<typeof appOf>): void => {
    if (MANIFESTS) server.of('configmaps').put(mapOf(app));
    else server.of('applicationpermissions').put(permissionOf(app, app.app));
  };
  for (let user = 0; user < USERS; user++) {
    const name = `user${user}`;
    server.of('endpointslices').put({
      metadata: {
        name: 's',
        namespace: `user-system-${name}`,
        labels: { 'kubernetes.io/service-name': 'system-server' },
      },
      endpoints: [{ addresses: [`10.1.${user >> 8}.${user & 255}`], conditions: { ready: true } }],
    });
    for (let app = 0; app < APPS; app++) {
      const one = appOf(user, app);
      put(one);
      const labels = { 'bytetrade.io/ns-owner': name, 'kubernetes.io/metadata.name': `${one.app}-${name}` };
      server
        .of('namespaces')
        .put({ metadata: { name: `${one.app}-${name}`, labels }, status: { phase: 'Active' } });
    }
  }
  process.on('message', (ops: readonly string[]) => {
    put({ ...appOf(0, 0), ops });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ url: server.url, token: server.token });
}

void main();
