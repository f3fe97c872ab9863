import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { Registrar } from '../../src/registration/registrar';
import { unregister } from '../../src/registration/unregister';
import { api, insist, makeNamespace, send, time } from './scratch-cluster';

const NAMESPACE = 'user-system-osp-registered';
const PROVIDER = `/apis/sys.bytetrade.io/v1alpha1/namespaces/${NAMESPACE}/providerregistries/secret-provider`;
const EVENTS = '/apis/apr.bytetrade.io/v1alpha1/namespaces/osp-service/syseventregistries';

interface Registered {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly endpoint: string };
}

export function describeRegistration(): void {
  describe('the registration in a real cluster', () => {
    it('is made, mended, made again, and undone', async () => {
      await makeNamespace('osp-service');
      await makeNamespace(NAMESPACE);
      const endpoint = { service: 'secrets', namespace: 'osp-service', port: 8080 };
      const deps = { api, time, log: () => undefined, maxAgeMs: 600_000 };
      const namespaces = new WatchedNamespaceOwners(deps);
      const registrar = new Registrar(endpoint, namespaces, deps);
      registrar.start();
      const provider = async () => (await send('GET', PROVIDER)) as Registered;
      const untilRight = (isNew: (now: Registered) => boolean) =>
        insist(async () => {
          const now = await provider();
          expect([now.spec.endpoint, isNew(now)]).toEqual(['secrets.osp-service:8080', true]);
        });
      await untilRight(() => true);
      await insist(async () =>
        expect((await send('GET', EVENTS)) as object).toMatchObject({
          items: [expect.anything(), expect.anything()],
        }),
      );
      const { metadata } = await provider();
      await send('PATCH', PROVIDER, { spec: { endpoint: 'elsewhere:1' } });
      await untilRight(({ metadata: now }) => now.uid === metadata.uid);
      await send('DELETE', PROVIDER);
      await untilRight(({ metadata: now }) => now.uid !== metadata.uid);
      await registrar.close();
      await namespaces.close();
      expect(await unregister(api, time, endpoint)).toBeGreaterThanOrEqual(3);
      await expect(provider()).rejects.toMatchObject({ status: 404 });
    });
  });
}
