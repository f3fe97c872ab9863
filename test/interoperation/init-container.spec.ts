import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parse, parseAllDocuments } from 'yaml';
import { helm, type KubeManifest, listOf, namespaceOf, one, ROOT } from '../helm/chart';
import { FAMILIES } from '../helm/helm-tools';
import { problemsOf } from '../helm/kubernetes-schema';
import { API_AUDIENCE } from '../support/fake-api-server/fake-token-review';
import { namespaceObject } from '../support/manifest-config-map';
import { OlaresCluster } from '../support/olares-cluster';
import { podToken } from '../support/service-account-tokens';
import { becomes } from '../support/without-privileges';

const CHART = join(ROOT, 'examples/charts/notes');
const UID = 1000;
const SCOPE = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
/** Behind the RBAC proxy an app calls this host, which leads to system-server. */
const PROXY_HOST = 'secret-provider.user-system-alice';

function rendered(
  family: (typeof FAMILIES)[number] = 'helm 4',
  more: readonly string[] = [],
): KubeManifest[] {
  const { ok, stdout, stderr } = helm(family, [
    'template',
    'notes',
    CHART,
    '--namespace',
    'notes-alice',
    ...more,
  ]);
  if (!ok) throw new Error(stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest);
}

const chart = rendered();
const podOf = (objects: readonly KubeManifest[]) =>
  one(objects, 'Deployment')['spec'].template.spec as KubeManifest;
const podOfChart = podOf(chart);
/** As it calls the service itself, up to Olares 1.12.0. */
const direct = podOf(
  rendered('helm 4', [
    '--set',
    'secrets.sendPodToken=false,secrets.url=http://secret-provider.os-platform:8080',
  ]),
);
const pod = parse(readFileSync(join(ROOT, 'examples/init-container.yaml'), 'utf8')) as KubeManifest;

describe("the example's chart", () => {
  it.each(FAMILIES)('is accepted by a strict lint, with %s', (family) => {
    expect(helm(family, ['lint', '--strict', CHART])).toMatchObject({ ok: true });
  });

  it('renders objects that an API server accepts, by both releases of Helm, and so is the pod without a chart', () => {
    for (const manifest of [...chart, pod])
      expect([manifest['kind'], problemsOf(manifest)]).toEqual([manifest['kind'], []]);
    expect(rendered('helm 3')).toEqual(chart);
  });

  it('brings the script as it is, and says which secrets to store first', () => {
    const [script] = chart.filter(({ metadata }) => metadata.name === 'write-secrets');
    expect(script?.['data']['write-secrets.mjs']).toBe(
      readFileSync(join(CHART, 'files/write-secrets.mjs'), 'utf8'),
    );
    const { stdout } = helm('helm 4', ['install', 'notes', CHART, '--dry-run=client', '-n', 'notes-alice']);
    expect(stdout).toContain('Secrets to store first: api-token smtp/password');
  });

  it('calls the host behind the RBAC proxy, as the pod without a chart does, unless the values name the service itself', () => {
    const urlOf = (spec: KubeManifest): unknown =>
      listOf(listOf(spec['initContainers'])[0]?.['env']).find(({ name }) => name === 'OLARES_SECRETS_URL')?.[
        'value'
      ];
    expect([podOfChart, pod['spec'], direct].map(urlOf)).toEqual([
      `http://${PROXY_HOST}`,
      `http://${PROXY_HOST}`,
      `http://secret-provider.${namespaceOf(['olares-1.12.0'])}:8080`,
    ]);
  });

  it('runs Node where the image has it', () => {
    const distroless = podOf(rendered('helm 4', ['--set', 'secrets.image.node=/nodejs/bin/node']));
    const programs = [podOfChart, distroless].map(
      (spec) => listOf(spec['initContainers'])[0]?.['command'][0],
    );
    expect(programs).toEqual(['node', '/nodejs/bin/node']);
  });

  it.each([
    ['the chart', podOfChart],
    ['the pod without a chart', pod['spec'] as KubeManifest],
  ])(
    '%s keeps the files in memory, shares them with the same user alone, and gives no token away',
    (_, spec) => {
      const volumes = listOf(spec['volumes']);
      expect(volumes.find(({ name }) => name === 'secrets')).toMatchObject({
        emptyDir: { medium: 'Memory', sizeLimit: '4Mi' },
      });
      const [source] = listOf(
        volumes.find(({ name }) => name === 'olares-secrets-token')?.['projected'].sources,
      );
      expect(source?.['serviceAccountToken'].audience).toBe('olares-secret-provider');
      expect(spec['securityContext']).toMatchObject({ runAsUser: UID, runAsNonRoot: true });
      for (const container of [...listOf(spec['initContainers']), ...listOf(spec['containers'])])
        expect(container['securityContext']).toEqual({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        });
      const [app] = listOf(spec['containers']);
      expect(listOf(app?.['volumeMounts'])).toContainEqual({
        name: 'secrets',
        mountPath: '/secrets',
        readOnly: true,
      });
    },
  );
});

describe('the init container', () => {
  const dir = mkdtempSync(join(tmpdir(), 'init-container-'));
  const folder = join(dir, 'secrets');
  let cluster: OlaresCluster;
  let dns: Server;

  beforeAll(async () => {
    chmodSync(dir, 0o755);
    // What the image has below /app: a newcomer's checkout may lie where no other user may read.
    cpSync(join(ROOT, 'dist/client'), join(dir, 'app/dist/client'), { recursive: true });
    cpSync(join(ROOT, 'node_modules/bcryptjs'), join(dir, 'app/node_modules/bcryptjs'), { recursive: true });
    const [script] = chart.filter(({ metadata }) => metadata.name === 'write-secrets');
    const source = script?.['data']['write-secrets.mjs'] as string;
    writeFileSync(join(dir, 'write-secrets.mjs'), source.replace("'/app/", `'${dir}/app/`));
    cluster = await OlaresCluster.start();
    cluster.server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    const map = one(chart, 'ConfigMap', 'olares-manifest');
    const metadata = { ...map['metadata'], namespace: 'notes-alice' } as { readonly name: string };
    cluster.server.of('configmaps').put({ ...map, metadata });
    await cluster.eventually(() =>
      expect(cluster.urlsOf('alice', 'notes')).toContain('/RetrieveSecret?workspace=notes'),
    );
    const expiresAtMs = cluster.clock.nowMs() + 3_600_000;
    const token = { namespace: 'notes-alice', expiresAtMs };
    writeFileSync(join(dir, 'token'), podToken(cluster.server, token));
    writeFileSync(join(dir, 'pod-token'), podToken(cluster.server, { ...token, audience: API_AUDIENCE }));
    // In a cluster the host's name leads to the proxy.
    dns = createServer((incoming, response) => {
      const headers = { ...incoming.headers, host: PROXY_HOST };
      const forwarded = request(
        `${cluster.proxy.url}${incoming.url}`,
        { method: 'POST', headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      );
      incoming.pipe(forwarded);
    }).listen(0, '127.0.0.1');
    await once(dns, 'listening');
  });
  afterAll(async () => {
    dns.closeAllConnections();
    dns.close();
    await cluster.close();
    rmSync(dir, { recursive: true });
  });

  beforeEach(async () => {
    rmSync(folder, { recursive: true, force: true });
    // As the kubelet makes an emptyDir.
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    for (const [name, value] of [
      ['api-token', 'fake-token-of-the-api'],
      ['smtp/password', 'fake-password\nwith two lines 日本'],
    ] as const) {
      await cluster.store.delete(SCOPE, name).catch(() => undefined);
      await cluster.store.create(SCOPE, { name, value });
    }
  });

  const proxyUrl = () => `http://127.0.0.1:${(dns.address() as AddressInfo).port}`;

  /** Runs the init container of a pod as the kubelet would; files and folders of the container are in `dir`. */
  async function run(spec: KubeManifest, url: string, more: Readonly<Record<string, string>> = {}) {
    const [container] = listOf(spec['initContainers']);
    const stated = listOf(container?.['env']).map(({ name, value }) => [name, value] as const);
    const env = {
      ...(Object.fromEntries(stated) as Record<string, string>),
      OLARES_SECRETS_URL: url,
      ...more,
    };
    if ('OLARES_SECRETS_TOKEN_FILE' in env) env.OLARES_SECRETS_TOKEN_FILE = join(dir, 'token');
    if ('OLARES_SECRETS_POD_TOKEN_FILE' in env) env.OLARES_SECRETS_POD_TOKEN_FILE = join(dir, 'pod-token');
    const [, script, , ...names] = [
      ...(container?.['command'] as string[]),
      ...(container?.['args'] as string[]),
    ];
    expect(script).toBe('/scripts/write-secrets.mjs');
    const args = [...becomes(UID), join(dir, 'write-secrets.mjs'), folder, ...names];
    const ran = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const [stdout, stderr] = await Promise.all([text(ran.stdout), text(ran.stderr), once(ran, 'close')]);
    expect(stdout + stderr).not.toMatch(/fake-(token|password)/);
    return { code: ran.exitCode, stdout, stderr };
  }

  const files = () =>
    Object.fromEntries(
      readdirSync(folder).map((name) => {
        const { mode, uid } = statSync(join(folder, name));
        return [name, [readFileSync(join(folder, name), 'utf8'), (mode & 0o7777).toString(8), uid]];
      }),
    );
  const owner = process.geteuid?.() === 0 ? UID : process.geteuid?.();
  const WRITTEN = {
    'api-token': ['fake-token-of-the-api', '400', owner],
    'smtp-password': ['fake-password\nwith two lines 日本', '400', owner],
  };

  it("of the chart reads through the RBAC proxy what the chart's own manifest grants", async () => {
    const { code, stdout, stderr } = await run(podOfChart, proxyUrl());
    expect([code, stdout, stderr]).toEqual([0, `2 secrets were written to ${folder}.\n`, '']);
    expect(files()).toEqual(WRITTEN);
  });

  it('of the pod without a chart reads through the proxy too', async () => {
    expect(await run(pod['spec'] as KubeManifest, proxyUrl())).toMatchObject({ code: 0 });
    expect(files()).toEqual(WRITTEN);
  });

  it('reads from the service itself, and puts new files in the place of old ones', async () => {
    await run(direct, cluster.service.url);
    await cluster.store.update(SCOPE, { name: 'api-token', value: 'fake-token-that-is-new' });
    // What a container leaves that is killed while it writes.
    writeFileSync(join(folder, '.draft-0011223344556677'), 'fake-token-of-a-draft', { mode: 0o400 });
    expect(await run(direct, cluster.service.url)).toMatchObject({ code: 0 });
    expect(files()).toEqual({ ...WRITTEN, 'api-token': ['fake-token-that-is-new', '400', owner] });
  });

  it('leaves all files as they were where one secret is missing, and says which', async () => {
    const url = cluster.service.url;
    await run(direct, url);
    await cluster.store.update(SCOPE, { name: 'api-token', value: 'fake-token-that-is-new' });
    await cluster.store.delete(SCOPE, 'smtp/password');
    const { code, stderr } = await run(direct, url);
    expect([code, stderr]).toEqual([
      1,
      'The secret smtp/password cannot be read: SECRET_NOT_FOUND: There is no secret of that name in this workspace and environment.\n',
    ]);
    expect(files()).toEqual(WRITTEN);
  });

  it('says what a grant still needs', async () => {
    const more = { OLARES_SECRETS_WORKSPACE: 'mail' };
    const { code, stderr } = await run(direct, cluster.service.url, more);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^The secret api-token cannot be read: NOT_GRANTED: App notes states RetrieveSecret on workspace mail, .*the user must approve it/,
    );
    expect(files()).toEqual({});
  });

  it('writes no file outside of its folder', async () => {
    const spec = {
      initContainers: [{ ...listOf(direct['initContainers'])[0], args: ['api-token=../outside'] }],
    };
    const { code, stderr } = await run(spec, cluster.service.url);
    expect([code, stderr]).toEqual([
      1,
      'The secret api-token needs another name for its file: api-token=<file>.\n',
    ]);
    expect([files(), existsSync(join(dir, 'outside'))]).toEqual([{}, false]);
  });
});
