import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { manifestFeed } from '../../src/grant-sources/kubernetes/manifest-feed';
import { WatchedGrantApprovals } from '../../src/grant-sources/kubernetes/watched-grant-approvals';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { SystemMonotonicTime } from '../../src/time/clock';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { namespaceObject, OWN_NAMESPACE } from '../support/manifest-config-map';
import { helm, type KubeManifest, one, ROOT } from './chart';
import { FAMILIES } from './helm-tools';
import { renderVariant } from './variants';

const EXAMPLE = join(ROOT, 'examples/charts/notes');
const TEMPLATE = readFileSync(join(EXAMPLE, 'templates/olares-manifest.yaml'), 'utf8');

function renderExample(family: (typeof FAMILIES)[number]): KubeManifest {
  const { ok, stdout, stderr } = helm(family, ['template', 'notes', EXAMPLE, '--namespace', 'notes-alice']);
  if (!ok) throw new Error(stderr);
  const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest);
  return one(objects, 'ConfigMap', 'olares-manifest');
}

/** Returns what app notes of alice holds, and what waits, with these ConfigMaps in the cluster. */
async function grantedBy(maps: readonly KubeManifest[]) {
  const server = await FakeApiServer.start();
  server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
  for (const map of maps) server.of('configmaps').put(map as never);
  const deps = informerDepsOf(server, new SystemMonotonicTime());
  const owners = new WatchedNamespaceOwners(deps);
  const approvals = new WatchedGrantApprovals(OWN_NAMESPACE, deps);
  const feed = manifestFeed({ owners, approvals, reservedWorkspaces: new Set() });
  const source = await KubernetesGrantSource.open(deps, [feed]);
  const { grants, pending = new Set() } = source.find('alice', 'notes') ?? {};
  const { problems } = source.status();
  await source.close();
  await owners.close();
  await server.stop();
  return { grants: [...(grants ?? [])], pending: [...pending], problems };
}

const inNamespace = (map: KubeManifest, namespace: string): KubeManifest => ({
  ...map,
  metadata: { ...map['metadata'], namespace },
});

describe("the template that an app's chart pastes", () => {
  it('is the one that docs/grants.md shows', () => {
    expect(readFileSync(join(ROOT, 'docs/grants.md'), 'utf8')).toContain(`\`\`\`yaml\n${TEMPLATE}\`\`\``);
  });

  it.each(FAMILIES)('brings the manifest into the cluster as it was written, with %s', async (family) => {
    const map = renderExample(family);
    expect(map['data']['OlaresManifest.yaml']).toBe(
      readFileSync(join(EXAMPLE, 'OlaresManifest.yaml'), 'utf8'),
    );
    expect(await grantedBy([inNamespace(map, 'notes-alice')])).toEqual({
      grants: ['RetrieveSecret', 'CreateSecret', 'ListSecret'].map(
        (operation) => `${operation}?workspace=notes`,
      ),
      pending: ['RetrieveSecret?workspace=mail'],
      problems: [],
    });
  });
});

it("the chart's approvals let an app do what it states on the workspace of another", async () => {
  const approvals = renderVariant('manifests of apps, some of them approved')
    .filter(({ metadata }) => metadata.labels['secrets.olares.com/grant-approval'] === 'true')
    .map((map) => inNamespace(map, OWN_NAMESPACE));
  expect(approvals).toHaveLength(2);
  const map = inNamespace(renderExample('helm 4'), 'notes-alice');
  const { grants, pending, problems } = await grantedBy([map, ...approvals]);
  expect(grants).toContain('RetrieveSecret?workspace=mail');
  expect({ pending, problems }).toEqual({ pending: [], problems: [] });
});
