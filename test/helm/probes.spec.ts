import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { TestAuthority } from '../support/certificates';
import { ChildService } from '../support/child-service';
import { httpCall } from '../support/http-call';
import { listOf, renderProfile, type Values } from './chart';
import { podRoot, type PodRoot, settingsOf, workloadOf } from './pod-files';

const authority = new TestAuthority();
const clients = new TestAuthority('authority of clients');
const server = authority.certificateFor('127.0.0.1');
const contentOf = (path: string): string => {
  if (/\/tls\.(crt|key)$/.test(path)) return path.endsWith('.crt') ? server.cert : server.key;
  return path.endsWith('.crt') ? clients.cert : 'k'.repeat(64);
};
const tls = { existingSecret: 'tls' };
const mutual = { ...tls, clientCa: { existingSecret: 'callers' }, clientSubjects: ['CN=gateway'] };

interface HttpGet {
  readonly path: string;
  readonly port: string;
  readonly scheme?: string;
}

/** The built service with the settings and files that the chart renders, asked as the kubelet asks: with no certificate. */
describe.each<[string, Values]>([
  ['without TLS', {}],
  ['with TLS', { tls }],
  ['with client certificates required', { tls: mutual }],
  ['without metrics', { metrics: { enabled: false } }],
])('the probes as rendered, %s', (_name, values) => {
  const manifests = renderProfile('standalone-embedded', values);
  const [container] = workloadOf(manifests)['spec'].template.spec.containers;
  let root: PodRoot;
  let service: ChildService;

  beforeAll(async () => {
    root = podRoot(manifests, contentOf);
    const { GRANTS_DIR = '', DATA_DIR = '' } = root.env;
    mkdirSync(DATA_DIR, { recursive: true });
    cpSync(resolve(__dirname, '../../examples/apps'), GRANTS_DIR, { recursive: true });
    const app = { user: 'alice', appKey: 'bytetrade_otmoiclp_1', appSecret: '0'.repeat(16) };
    writeFileSync(resolve(GRANTS_DIR, 'otmoiclp/app.yaml'), JSON.stringify(app));
    const anywhere = { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0' };
    service = await ChildService.start({ NODE_ENV: 'production', ...root.env, ...anywhere });
  });
  afterAll(async () => {
    expect(await service.end()).toBe(0);
    root.remove();
  });

  /** What the kubelet asks, which verifies no certificate; here it does, and asks the port that this process has. */
  const ask = async ({ path, port, scheme = 'HTTP' }: HttpGet): Promise<number> => {
    const there = port === 'metrics' ? service.ports.metrics : service.ports.main;
    const url = `${scheme.toLowerCase()}://127.0.0.1:${there}${path}`;
    return (await httpCall(url, { method: 'GET', tls: { ca: authority.cert } })).status;
  };

  it('name ports on which the service listens', () => {
    const ports = listOf(container.ports).map(({ name, containerPort }) => [name, String(containerPort)]);
    const { PORT, METRICS_PORT } = settingsOf(manifests);
    expect(ports).toEqual([['http', PORT], ['metrics', METRICS_PORT]]); // prettier-ignore
  });

  it.each(['startupProbe', 'livenessProbe', 'readinessProbe'])('%s is answered 200', async (probe) => {
    expect(await ask(container[probe].httpGet as HttpGet)).toBe(200);
  });

  it('find nobody to talk to on the port of callers, if those must show a certificate', async () => {
    const scheme = 'tls' in values ? 'HTTPS' : 'HTTP';
    const asked = ask({ path: '/livez', port: 'http', scheme });
    if (values['tls'] === mutual)
      await expect(asked).rejects.toThrow(/certificate required|ECONNRESET|EPIPE|SSL/i);
    else expect(await asked).toBe(200);
  });
});
