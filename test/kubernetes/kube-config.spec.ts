import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { stringify } from 'yaml';
import { kubeConfigConnection } from '../../src/kubernetes/kube-config';
import { KubeConfigUnusable, KubernetesApi, KubernetesFailure } from '../../src/kubernetes/kubernetes-api';
import { SystemMonotonicTime } from '../../src/time/clock';
import { TestAuthority } from '../support/certificates';

/** Which of them depends on what OpenSSL tries first. */
const UNTRUSTED = /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/;
const CANARY = 'canary-of-a-token';

const authority = new TestAuthority();
const client = authority.certificateFor('admin');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

interface Parts {
  readonly server?: unknown;
  readonly cluster?: object;
  readonly user?: unknown;
  readonly more?: object;
}

describe('the connection to the API server', () => {
  const dir = mkdtempSync(join(tmpdir(), 'kube-config-'));
  let server: Server;
  let url: string;
  let port: number;

  beforeAll(async () => {
    const options = {
      ...authority.certificateFor('127.0.0.1'),
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: false,
    };
    server = createServer(options, (request: IncomingMessage, response) => {
      const socket = request.socket as TLSSocket;
      const { authorization } = request.headers;
      const subject = socket.authorized ? (socket.getPeerCertificate().subject.CN ?? null) : null;
      response.end(JSON.stringify({ authorization, subject, servername: socket.servername }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
    url = `https://127.0.0.1:${port}`;
  });
  afterAll(() => {
    server.close();
    rmSync(dir, { recursive: true });
  });

  const write = (name: string, content: string): string => {
    const path = join(dir, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  const configOf = ({ cluster, user = { token: CANARY }, more, ...others }: Parts = {}): string =>
    stringify({
      clusters: [
        {
          name: 'here',
          cluster: {
            server: 'server' in others ? others.server : `${url}/`,
            ...(cluster ?? { 'certificate-authority-data': base64(authority.cert) }),
          },
        },
      ],
      contexts: [{ name: 'us', context: { cluster: 'here', user: 'we' } }],
      users: [{ name: 'we', user }],
      'current-context': 'us',
      ...more,
    });
  const connect = (config: string) => kubeConfigConnection({ KUBECONFIG: write('config', config) });
  const refusal = (open: () => unknown): string => {
    try {
      open();
    } catch (error: unknown) {
      expect(error).toBeInstanceOf(KubeConfigUnusable);
      return (error as Error).message.replaceAll(dir, '');
    }
    throw new Error('it was accepted');
  };
  const seenBy = (connection: ReturnType<typeof kubeConfigConnection>): Promise<unknown> =>
    new KubernetesApi(connection, new SystemMonotonicTime()).send({
      method: 'GET',
      path: '/version',
      timeoutMs: 5_000,
    });

  it('sends the token of the kubeconfig over TLS that the cluster’s CA vouches for', async () => {
    const connection = connect(configOf());
    expect(connection.server).toBe(url);
    expect(await seenBy(connection)).toMatchObject({ authorization: `Bearer ${CANARY}`, subject: null });
  });

  it.each([
    ['that is embedded', () => ({ 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.key) })],
    ['of files beside the kubeconfig', () => ({ 'client-certificate': 'pki/tls.crt', 'client-key': 'pki/tls.key' })],
    [
      'that is embedded rather than a file',
      () => ({
        'client-certificate': 'none',
        'client-certificate-data': base64(client.cert),
        'client-key': 'none',
        'client-key-data': base64(client.key),
      }),
    ],
  ])('shows a client certificate %s', async (_where, user) => {
    write('pki/tls.crt', client.cert);
    write('pki/tls.key', client.key);
    const seen = await seenBy(connect(configOf({ user: user() })));
    expect(seen).toEqual({ subject: 'admin', servername: false });
  }); // prettier-ignore

  it('reads the tokenFile anew for each request, relative to the kubeconfig, and before a token', async () => {
    write('token', 'first\n');
    const connection = connect(configOf({ user: { tokenFile: 'token', token: 'another' } }));
    expect(await seenBy(connection)).toMatchObject({ authorization: 'Bearer first' });
    write('token', 'second');
    expect(await seenBy(connection)).toMatchObject({ authorization: 'Bearer second' });
  });

  it('is nobody where the context has no user', async () => {
    const contexts = [{ name: 'us', context: { cluster: 'here' } }];
    expect(await seenBy(connect(configOf({ more: { contexts } })))).not.toHaveProperty('authorization');
  });

  it('verifies the server: by the CA alone, for its name, and by none where that was asked for', async () => {
    const failure = (cluster: object) => seenBy(connect(configOf({ cluster }))).catch((error: unknown) => error);
    const ca = { 'certificate-authority': write('ca.crt', authority.cert) };
    expect(await failure(ca)).toMatchObject({ subject: null });
    const stranger = { 'certificate-authority-data': base64(new TestAuthority('stranger').cert) };
    expect(await failure(stranger)).toMatchObject({ reason: expect.stringMatching(UNTRUSTED) });
    expect(await failure({})).toMatchObject({ reason: expect.stringMatching(UNTRUSTED) });
    const named = { ...ca, 'tls-server-name': 'kubernetes.default' };
    expect(await failure(named)).toEqual(new KubernetesFailure('ERR_TLS_CERT_ALTNAME_INVALID'));
    const insecure = { 'insecure-skip-tls-verify': true, 'tls-server-name': 'kubernetes.default' };
    expect(await failure(insecure)).toMatchObject({ servername: 'kubernetes.default' });
  }); // prettier-ignore

  it('fails with a word where a file of it is missing, empty, too large or no PEM, and never falls back to public CAs', async () => {
    const failure = (cluster: object, user: object = {}) =>
      seenBy(connect(configOf({ cluster, user }))).catch((error: unknown) => error);
    const trusted = { 'certificate-authority': write('ca.crt', authority.cert) };
    expect(await failure({ 'certificate-authority': 'none' })).toEqual(new KubernetesFailure('ENOENT'));
    expect(await failure({ 'certificate-authority': write('empty', '\n') })).toEqual(
      new KubernetesFailure('EmptyFile'),
    );
    expect(await failure(trusted, { tokenFile: write('large', 'x'.repeat(1024 * 1024 + 1)) })).toEqual(
      new KubernetesFailure('FileTooLarge'),
    );
    const malformed = { 'client-certificate': write('malformed', CANARY), 'client-key': 'malformed' };
    const wrong = await failure(trusted, malformed);
    expect(wrong).toBeInstanceOf(KubernetesFailure);
    expect((wrong as Error).message).toMatch(/^ERR_/);
  });

  describe('with several files in KUBECONFIG', () => {
    const open = (...configs: readonly object[]) => {
      const paths = configs.map((config, index) => write(`several/${index}/config`, stringify(config)));
      return kubeConfigConnection({ KUBECONFIG: ['', ...paths, join(dir, 'missing')].join(':') });
    };
    const cluster = (address: string) => ({ server: address, 'insecure-skip-tls-verify': true });

    it('takes each entry, and the current-context, from the first file that has it', async () => {
      write('several/1/token', 'of-the-second');
      const connection = open(
        { contexts: [{ name: 'us', context: { cluster: 'here', user: 'we' } }], clusters: null },
        {
          'current-context': 'us',
          clusters: [{ name: 'here', cluster: cluster(url) }],
          users: [{ name: 'we', user: { tokenFile: 'token' } }],
        },
        {
          'current-context': 'them',
          clusters: [{ name: 'here', cluster: cluster('https://elsewhere') }],
          users: [{ name: 'we', user: { token: 'of-the-third' } }],
        },
      );
      expect(await seenBy(connection)).toMatchObject({ authorization: 'Bearer of-the-second' });
    });

    it('refuses what none of them has', () => {
      expect(refusal(() => open({}, {}))).toBe(
        'The kubeconfig /several/0/config, /several/1/config names no current-context.',
      );
      expect(refusal(() => open({ 'current-context': 'us' }, { contexts: [] }))).toBe(
        'The kubeconfig /several/0/config, /several/1/config has no context named "us".',
      );
    });
  });

  describe('without KUBECONFIG', () => {
    const pod = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '' };
    const mount = () => {
      write('pod/ca.crt', authority.cert);
      write('pod/token', `${CANARY}-1`);
      return join(dir, 'pod');
    };

    it('takes ~/.kube/config', () => {
      write('home/.kube/config', configOf({ server: 'https://of-home' }));
      expect(kubeConfigConnection({ HOME: join(dir, 'home') }, mount()).server).toBe('https://of-home');
    });

    it('takes the pod’s ServiceAccount, whose token is read anew as the kubelet renews it', async () => {
      const environment = { ...pod, KUBERNETES_SERVICE_PORT: String(port), KUBECONFIG: '', HOME: dir };
      const connection = kubeConfigConnection(environment, mount());
      expect(await seenBy(connection)).toMatchObject({ authorization: `Bearer ${CANARY}-1` });
      write('pod/token', `${CANARY}-2\n`);
      expect(await seenBy(connection)).toMatchObject({ authorization: `Bearer ${CANARY}-2` });
      const v6 = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
      expect(kubeConfigConnection(v6, mount()).server).toBe('https://[fd00::1]:443');
    });

    it('says so where there is no cluster', () => {
      expect(refusal(() => kubeConfigConnection({ HOME: dir }, join(dir, 'nowhere')))).toMatch(/^There is no cluster: /);
      expect(refusal(() => kubeConfigConnection(pod, mount()))).toMatch(/^KUBERNETES_SERVICE_HOST and /);
      const missing = join(dir, 'missing');
      expect(refusal(() => kubeConfigConnection({ KUBECONFIG: missing }, mount()))).toBe('KUBECONFIG names no file that is there.');
    }); // prettier-ignore
  });

  const pem = base64(client.key);
  it.each<[string, Parts, string]>([
    ['an exec plugin', { user: { exec: { command: 'aws' } } }, 'exec of the user "we" is not supported; use a token, a tokenFile or a client certificate'],
    ['an auth-provider', { user: { 'auth-provider': { name: 'oidc' } } }, 'auth-provider of the user "we" is not supported; use a token, a tokenFile or a client certificate'],
    ['a password', { user: { username: 'a', password: CANARY } }, 'username of the user "we" is not supported; use a token, a tokenFile or a client certificate'],
    ['impersonation', { user: { token: CANARY, as: 'b' } }, 'as of the user "we" is not supported; use a token, a tokenFile or a client certificate'],
    ['a proxy', { cluster: { 'proxy-url': 'http://p' } }, 'proxy-url of the cluster "here" is not supported; the API server is called directly'],
    ['no server', { server: null }, 'server of the cluster "here" must be set'],
    ['a server that is no URL', { server: 'kubernetes' }, 'server of the cluster "here" must be an https URL'],
    ['a server of another protocol', { server: 'ftp://a' }, 'server of the cluster "here" must be an https URL'],
    ['plain http', { server: 'http://a' }, 'server of the cluster "here" must be https, or insecure-skip-tls-verify must be set'],
    ['a CA that nobody asks', { cluster: { 'insecure-skip-tls-verify': true, 'certificate-authority': 'a' } }, 'insecure-skip-tls-verify of the cluster "here" and certificate-authority do not go together'],
    ['a flag as text', { cluster: { 'insecure-skip-tls-verify': 'true' } }, 'insecure-skip-tls-verify of the cluster "here" must be true or false'],
    ['a key without a certificate', { user: { 'client-key-data': pem } }, 'client-certificate of the user "we" and client-key must both be given'],
    ['data that is no base64', { user: { 'client-key-data': '***' } }, 'client-key-data of the user "we" must be PEM in base64'],
    ['data that is no PEM', { user: { 'client-key-data': base64(CANARY) } }, 'client-key-data of the user "we" must be PEM in base64'],
    ['a token that is no text', { user: { token: 123 } }, 'token of the user "we" must be text'],
  ])('refuses a kubeconfig with %s in one sentence', (_what, parts, sentence) => {
    expect(refusal(() => connect(configOf(parts)))).toBe(`The kubeconfig /config is wrong: ${sentence}.`);
  }); // prettier-ignore

  it.each<[string, string, string]>([
    ['is no YAML', `token: ${CANARY}\n\t: {`, 'is not a YAML mapping'],
    ['is no mapping', CANARY, 'is not a YAML mapping'],
    ['is empty', '', 'names no current-context'],
    ['has users that are no list', 'current-context: us\ncontexts: us', 'has malformed contexts'],
    ['has entries that are no mappings', 'current-context: us\ncontexts: [us]', 'has malformed contexts'],
    ['has an unknown context', 'current-context: us', 'has no context named "us"'],
    ['is larger than 1 MiB', `# ${'x'.repeat(1024 * 1024)}`, 'cannot be read (FileTooLarge)'],
  ])('refuses a file that %s, and quotes nothing of it', (_what, text, sentence) => {
    expect(refusal(() => connect(text))).toBe(`The kubeconfig /config ${sentence}.`);
  });

  it('refuses a folder, and a user that is named and missing', () => {
    expect(refusal(() => kubeConfigConnection({ KUBECONFIG: dir }))).toBe('The kubeconfig  cannot be read (EISDIR).');
    expect(refusal(() => connect(configOf({ more: { users: [] } })))).toBe('The kubeconfig /config has no user named "we".');
  }); // prettier-ignore
});
