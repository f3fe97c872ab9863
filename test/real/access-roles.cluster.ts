import { AccessRegistrar } from '../../src/registration/access-registrar';
import { unregister } from '../../src/registration/unregister';
import { OWN_NAMESPACE } from '../support/manifest-config-map';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { renderProfile } from '../helm/chart';
import { apiAs, insist, makeNamespace, makeObject, send, time } from './scratch-cluster';

const NAMESPACE = OWN_NAMESPACE;
const ROOT = '/apis/rbac.authorization.k8s.io/v1';
const NAME = 'osp:osp-user:osp-notes';
const COLLECTIONS: Readonly<Record<string, string>> = {
  ClusterRole: `${ROOT}/clusterroles`,
  ClusterRoleBinding: `${ROOT}/clusterrolebindings`,
};

interface Role {
  readonly metadata: { readonly uid: string };
  readonly rules: readonly unknown[];
}

/** Roles made as the chart's ServiceAccount, with no more rights than the chart gives it. */
export function describeAccessRoles(): void {
  describe('the roles of the RBAC proxy in a real cluster', () => {
    const role = async () => (await send('GET', `${ROOT}/clusterroles/${NAME}`)) as Role;
    const binding = () => send('GET', `${ROOT}/clusterrolebindings/${NAME}`);
    const rule = { nonResourceURLs: ['/RetrieveSecret?workspace=osp-notes'], verbs: ['create'] };
    const isRight = () => insist(async () => expect((await role()).rules).toEqual([rule]));
    const isGone = (path: string) =>
      insist(() => expect(send('GET', path)).rejects.toMatchObject({ status: 404 }));

    beforeAll(async () => {
      await makeNamespace(NAMESPACE);
      for (const name of ['vault', 'vault-unregister'])
        await send('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name },
        });
      for (const manifest of renderProfile('olares')) {
        const collection = COLLECTIONS[manifest['kind']];
        if (collection !== undefined) await makeObject(collection, manifest as never);
      }
      // What the uninstall asks for in its own namespace.
      for (const manifest of renderProfile('olares')) {
        if (manifest['metadata'].namespace !== NAMESPACE || !/^Role(Binding)?$/.test(manifest['kind']))
          continue;
        const plural = `${String(manifest['kind']).toLowerCase()}s`;
        await send('POST', `${ROOT}/namespaces/${NAMESPACE}/${plural}`, manifest);
      }
    });

    it('are made, repaired, made again and removed with the rights of the chart alone', async () => {
      const app = { user: 'osp-user', app: 'osp-notes', namespace: 'osp-notes-osp-user' };
      const grants = new FixedGrantSource([{ ...app, ops: ['RetrieveSecret?workspace=osp-notes'] }]);
      const endpoint = { service: 'vault', namespace: NAMESPACE, port: 8080 };
      const deps = { api: await apiAs(NAMESPACE, 'vault'), time, log: () => undefined, maxAgeMs: 600_000 };
      const registrar = new AccessRegistrar({ endpoint, providerName: 'secret-provider' }, grants, deps);
      registrar.start();
      try {
        await isRight();
        await insist(binding);
        const { metadata } = await role();
        await send('PATCH', `${ROOT}/clusterroles/${NAME}`, { rules: [] });
        await isRight();
        expect((await role()).metadata.uid).toBe(metadata.uid);
        await send('DELETE', `${ROOT}/clusterrolebindings/${NAME}`);
        await insist(binding);
        await send('DELETE', `${ROOT}/clusterroles/${NAME}`);
        await isRight();
        grants.set([]);
        await isGone(`${ROOT}/clusterroles/${NAME}`);
        await isGone(`${ROOT}/clusterrolebindings/${NAME}`);
        grants.set([{ ...app, ops: ['RetrieveSecret?workspace=osp-notes'] }]);
        await insist(binding);
        expect(registrar.problems()).toEqual([]);
      } finally {
        await registrar.close();
      }
      const removed = await unregister(await apiAs(NAMESPACE, 'vault-unregister'), time, endpoint);
      expect(removed).toBe(4);
      await isGone(`${ROOT}/clusterroles/${NAME}`);
    });

    it.each<[string, string, object]>([
      ['a role of every URL', 'clusterroles', { rules: [{ nonResourceURLs: ['*'], verbs: ['create'] }] }],
      ['a role of another method', 'clusterroles', { rules: [{ ...rule, verbs: ['*'] }] }],
      [
        'a binding to cluster-admin',
        'clusterrolebindings',
        {
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
          subjects: [{ kind: 'ServiceAccount', name: 'vault', namespace: NAMESPACE }],
        },
      ],
    ])('are the most that the service can make: not %s', async (_what, plural, fields) => {
      const api = await apiAs(NAMESPACE, 'vault');
      const kind = plural === 'clusterroles' ? 'ClusterRole' : 'ClusterRoleBinding';
      const body = {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind,
        metadata: { name: 'osp:osp-user:osp-more' },
        ...fields,
      };
      await expect(
        api.send({ method: 'POST', path: `${ROOT}/${plural}`, body, timeoutMs: 10_000 }),
      ).rejects.toMatchObject({ status: 403 });
    });
  });
}
