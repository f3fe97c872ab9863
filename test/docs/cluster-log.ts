import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { Writable } from 'node:stream';
import { createLog, logEvent } from '../../src/logging/log';
import { Registrar } from '../../src/registration/registrar';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { openPermissions } from '../support/permission-feed';

/** What the service logs of an API server whose etcd went back to a snapshot, and that refuses its registration. */
export async function clusterLog(): Promise<string> {
  const chunks: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString('utf8'));
      done();
    },
  });
  const [server, time] = [await FakeApiServer.start(), new FixedMonotonicTime()];
  const deps = { ...informerDepsOf(server, time), log: logEvent(createLog('info', sink)) };
  const until = (text: string) =>
    eventually(() => {
      time.advance(1000);
      expect(chunks.join('')).toContain(text);
    });
  server.of('applicationpermissions').put({ metadata: { name: 'bad', namespace: 'elsewhere' } });
  const grants = await openPermissions(deps);
  await eventually(() => expect(server.watches.size).toBe(1));
  await server.stop();
  server.restore();
  await server.listen();
  await until('kubernetes_went_back');
  server.of('namespaces').put({ metadata: { name: 'user-system-alice' } });
  server.refusingWrites = () => ({ status: 422, reason: 'Invalid' });
  const namespaces = new WatchedNamespaceOwners(deps);
  const registrar = new Registrar({ service: 'secrets', namespace: 'os', port: 8080 }, namespaces, deps);
  registrar.start();
  await until('registration_failed');
  await registrar.close();
  await namespaces.close();
  await grants.close();
  await server.stop();
  return chunks.join('');
}
