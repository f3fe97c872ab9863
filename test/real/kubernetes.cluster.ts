import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { permissionOf } from '../support/application-permission';
import { describeIdentity } from './identity.cluster';
import { describeRegistration } from './registration.cluster';
import { api, clear, furnish, makeNamespace, send, time } from './scratch-cluster';

const ROOT = '/apis/sys.bytetrade.io/v1alpha1';

beforeAll(furnish);
afterAll(clear);

interface Installed {
  readonly items: readonly { readonly metadata: { readonly name: string; readonly namespace: string } }[];
}

const pathOf = (namespace: string, name = ''): string =>
  `${ROOT}/namespaces/${namespace}/applicationpermissions${name === '' ? '' : `/${name}`}`;

/** Makes these the only ones: what is left is patched, as an operator would, and never removed and made again. */
async function install(apps: readonly AppToInstall[]): Promise<void> {
  const wanted = apps.map((app, index) => permissionOf(app, `app-${index}`));
  const { items } = (await send('GET', `${ROOT}/applicationpermissions`)) as Installed;
  const same = (a: Installed['items'][number]['metadata'], b: typeof a): boolean =>
    a.name === b.name && a.namespace === b.namespace;
  for (const { metadata } of items) {
    if (!wanted.some((one) => same(one.metadata, metadata)))
      await send('DELETE', pathOf(metadata.namespace, metadata.name));
  }
  for (const one of wanted) {
    const { namespace, name } = one.metadata;
    await makeNamespace(namespace);
    if (items.some(({ metadata }) => same(metadata, one.metadata)))
      await send('PATCH', pathOf(namespace, name), one);
    else await send('POST', pathOf(namespace), one);
  }
}

describeGrantSource('the ApplicationPermissions of a real cluster', {
  inForceWithinMs: 2000,
  open: async (apps) => {
    await install(apps);
    const source = await KubernetesGrantSource.open({ api, time, log: () => undefined });
    return { source, install, dispose: () => source.close() };
  },
});

describeIdentity();
describeRegistration();
