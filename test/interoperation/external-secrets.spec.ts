import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseAllDocuments } from 'yaml';
import { describeWith } from '../support/describe-with';
import { namespaceOf } from '../helm/chart';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { goWorkspace } from '../support/go-workspace';
import { manifestMap, manifestText, namespaceObject } from '../support/manifest-config-map';
import { MemorySecretStore } from '../support/memory.secret-store';
import { OlaresCluster } from '../support/olares-cluster';
import { podToken } from '../support/service-account-tokens';
import { startService, type Service } from '../support/service';
import { USER_TOKEN_SECRET } from '../support/tokens';

const EXAMPLES = resolve(__dirname, '../../examples/external-secrets');
const PROVIDER = join(__dirname, 'webhook_provider.go');
const NOTES = {
  app: 'notes',
  user: 'alice',
  appKey: 'bytetrade_notes_123456',
  appSecret: 'fake-secret-of-the-app',
  ops: ['RetrieveSecret', 'CreateSecret'].map((operation) => `${operation}?workspace=notes`),
};
/** Text that a template which only puts quotes around it would spoil. */
const NAME = 'a "name" with \\ and / and {{ braces }}';
const VALUE = 'two\nlines "of" 日本 <text>';

interface Webhook {
  readonly url: string;
  readonly secrets: readonly {
    readonly name: string;
    readonly secretRef: { readonly name: string; readonly namespace?: string };
  }[];
}
interface Example {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: Webhook & {
    readonly provider: { readonly webhook: Webhook };
    readonly data: readonly { readonly remoteRef: { readonly key: string } }[];
    readonly target: {
      readonly name: string;
      readonly deletionPolicy?: string;
      readonly template?: { readonly metadata: { readonly labels: object } };
    };
  };
}

function example(file: string, kind: string): Example {
  const documents = parseAllDocuments(readFileSync(join(EXAMPLES, file), 'utf8'));
  const found = documents.map((document) => document.toJS() as Example).find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`${file} has no ${kind}`);
  return found;
}

type Outcome = { readonly value: unknown } | { readonly error: string };
type Secrets = Readonly<Record<string, Readonly<Record<string, string>>>>;

const { program } = goWorkspace({ provider: [PROVIDER] });

/** What the operator makes of a webhook, with the Secrets that the cluster has by their names. */
async function webhookResult(
  webhook: Webhook,
  url: string,
  secrets: Secrets,
  key?: string,
): Promise<Outcome> {
  const provider = spawn(await program('provider'));
  const byTemplateName = webhook.secrets.map(({ name, secretRef }) => [name, secrets[secretRef.name]]);
  provider.stdin.end(
    JSON.stringify({
      webhook: { ...webhook, url: webhook.url.replace(/^http:\/\/secret-provider\.[\w-]+:8080/, url) },
      secrets: Object.fromEntries(byTemplateName),
      ...(key !== undefined && { remoteRef: { key } }),
    }),
  );
  const [printed] = await Promise.all([text(provider.stdout), once(provider, 'close')]);
  return JSON.parse(printed) as Outcome;
}

const generator = example('access-token.yaml', 'Webhook').spec;
const store = example('secret-store.yaml', 'SecretStore').spec.provider.webhook;
const clusterStore = example('cluster-secret-store.yaml', 'ClusterSecretStore').spec.provider.webhook;
const app = { 'olares-app': { key: NOTES.appKey, secret: NOTES.appSecret } };

describeWith('go', "the External Secrets Operator's webhook provider, with the examples", () => {
  const secrets = new MemorySecretStore();
  const grantSource = new FixedGrantSource([NOTES]);
  let service: Service;
  beforeAll(async () => {
    const userToken = { secret: USER_TOKEN_SECRET, required: false };
    service = await startService({ store: secrets, grantSource }, { userToken });
    const scope = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
    await secrets.create(scope, { name: 'api-token', value: 'fake-token' });
    await secrets.create(scope, { name: NAME, value: VALUE });
  });
  afterAll(() => service.close());

  /** The Secret that the ExternalSecret of the generator makes. */
  async function accessToken(): Promise<Secrets> {
    const outcome = await webhookResult(generator, service.url, app);
    expect(outcome).toEqual({
      value: { access_token: expect.any(String) as string, expired_at: expect.any(String) as string },
    });
    return { 'olares-access-token': (outcome as { value: Record<string, string> }).value };
  }

  it('is formatted as Go is', () => {
    const { stdout, status } = spawnSync('gofmt', ['-l', PROVIDER], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, '']);
  });

  it('proves the app by its key and secret, and reads secrets with the access token', async () => {
    const held = await accessToken();
    const [stated] = example('secret-store.yaml', 'ExternalSecret').spec.data;
    expect(await webhookResult(store, service.url, held, stated?.remoteRef.key)).toEqual({
      value: 'fake-token',
    });
    expect(await webhookResult(store, service.url, held, NAME)).toEqual({ value: VALUE });
  });

  it('takes a missing secret for one that was deleted, and any other failure for an error', async () => {
    const held = await accessToken();
    const read = () => webhookResult(store, service.url, held, 'api-token');
    expect(await webhookResult(store, service.url, held, 'missing')).toEqual({
      error: 'the secret does not exist',
    });
    grantSource.set([{ ...NOTES, ops: ['CreateSecret?workspace=notes'] }]);
    expect(await read()).toEqual({ error: 'the endpoint answered 403 Forbidden' });
    grantSource.set([NOTES]);
    expect(
      await webhookResult(store, service.url, { 'olares-access-token': { access_token: 'x' } }, 'api-token'),
    ).toEqual({ error: 'the endpoint answered 401 Unauthorized' });
    expect(await read()).toEqual({ value: 'fake-token' });
  });

  it('makes no Secret of a refused proof, which is HTTP 200', async () => {
    const wrong = { 'olares-app': { key: NOTES.appKey, secret: 'fake-wrong-secret-of-it' } };
    expect(await webhookResult(generator, service.url, wrong)).toEqual({ error: 'unknown key data' });
  });

  it('makes no value of a failure that is HTTP 200, as RESPONSE_STYLE=sidecar has it', async () => {
    const userToken = { secret: USER_TOKEN_SECRET, required: false };
    const sidecar = await startService(
      { store: secrets, grantSource },
      { userToken, responseStyle: 'sidecar' },
    );
    try {
      const held = await accessToken();
      expect(await webhookResult(store, sidecar.url, held, 'api-token')).toEqual({ value: 'fake-token' });
      expect(await webhookResult(store, sidecar.url, held, 'missing')).toEqual({
        error: 'unknown key value',
      });
    } finally {
      await sidecar.close();
    }
  });

  it('reads with a ServiceAccount token from a Secret of the namespace that the ClusterSecretStore names', async () => {
    const cluster = await OlaresCluster.start();
    try {
      cluster.server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
      cluster.server
        .of('configmaps')
        .put(
          manifestMap(
            'notes-alice',
            manifestText('notes', ['RetrieveSecret?workspace=notes', 'CreateSecret?workspace=notes']),
          ),
        );
      const body = { name: 'api-token', value: 'fake-token' };
      await cluster.eventually(() =>
        expect(cluster.urlsOf('alice', 'notes')).toContain('/CreateSecret?workspace=notes'),
      );
      await cluster.past('CreateSecret?workspace=notes', { from: 'notes-alice', body });
      const expiresAtMs = cluster.clock.nowMs() + 3_600_000;
      const tokenOf = (audience?: string) => ({
        'olares-service-account-token': {
          token: podToken(cluster.server, {
            namespace: 'notes-alice',
            expiresAtMs,
            ...(audience !== undefined && { audience }),
          }),
        },
      });
      const { url } = cluster.service;
      expect(await webhookResult(clusterStore, url, tokenOf(), 'api-token')).toEqual({ value: 'fake-token' });
      // As the token of a Secret of type kubernetes.io/service-account-token is.
      expect(await webhookResult(clusterStore, url, tokenOf('https://kubernetes'), 'api-token')).toEqual({
        error: 'the endpoint answered 401 Unauthorized',
      });
    } finally {
      await cluster.close();
    }
  });

  it('calls the service where the profile for their Olares installs it', () => {
    const { host } = new URL(`http://secret-provider.${namespaceOf(['olares-1.12.0'])}:8080`);
    expect([generator, store].map(({ url }) => new URL(url).host)).toEqual([host, host]);
    expect(new URL(clusterStore.url).host).toBe(`secret-provider.${namespaceOf(['olares'])}:8080`);
  });

  it('finds the Secrets that the examples name, with the label that the operator asks for', () => {
    const label = { 'external-secrets.io/type': 'webhook' };
    const made = example('access-token.yaml', 'ExternalSecret').spec.target;
    expect(made).toMatchObject({ name: 'olares-access-token', template: { metadata: { labels: label } } });
    expect(store.secrets.map(({ secretRef }) => secretRef)).toEqual([{ name: made.name }]);
    expect(example('access-token.yaml', 'Secret').metadata).toEqual({ name: 'olares-app', labels: label });
    expect(generator.secrets.map(({ secretRef }) => secretRef)).toEqual([{ name: 'olares-app' }]);
    expect(clusterStore.secrets.map(({ secretRef }) => secretRef.namespace)).toEqual(['notes-alice']);
    for (const file of ['secret-store.yaml', 'cluster-secret-store.yaml'])
      expect(example(file, 'ExternalSecret').spec.target.deletionPolicy).toBe('Retain');
  });
});
