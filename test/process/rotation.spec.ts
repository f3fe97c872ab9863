import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect } from 'node:tls';
import { TestAuthority } from '../support/certificates';
import { ChildService } from '../support/child-service';
import { CredentialFolder, WAYS_TO_REPLACE } from '../support/credential-folder';
import { eventually } from '../support/eventually';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { Load, type LoadedRequest } from '../support/load';
import { accessToken, userToken } from '../support/tokens';

const LIST = 'ListSecret?workspace=otmoic';
const OPS = [LIST];
const LOGIN = '/api/v1/auth/universal-auth/login';
const authority = new TestAuthority();
const [server, renewed] = [authority.certificateFor('127.0.0.1'), authority.certificateFor('127.0.0.1')];
const OLD = {
  'access-token-key': 'canary-old-access-token-key-'.padEnd(64, 'a'),
  'user-token-secret': 'canary-old-user-token-secret-'.padEnd(64, 'u'),
  'client-secret': 'canary-old-client-secret',
  'tls.crt': server.cert,
  'tls.key': server.key,
};
const NEW = {
  'access-token-key': 'canary-new-access-token-key-'.padEnd(64, 'a'),
  'user-token-secret': 'canary-new-user-token-secret-'.padEnd(64, 'u'),
  'client-secret': 'canary-new-client-secret',
  'tls.crt': renewed.cert,
  'tls.key': renewed.key,
};

/** The built process, its own clock and its own looks at the files. */
describe.each(WAYS_TO_REPLACE)('credentials that are replaced %s while the process serves', (way) => {
  const apps = mkdtempSync(join(tmpdir(), 'apps-'));
  let folder: CredentialFolder;
  let fake: FakeInfisical;
  let service: ChildService;
  let load: Load;

  beforeAll(async () => {
    cpSync(resolve(__dirname, '../../examples/apps'), apps, { recursive: true });
    writeFileSync(
      join(apps, 'otmoiclp/app.yaml'),
      JSON.stringify({ user: 'alice', appKey: 'bytetrade_otmoiclp_1', appSecret: '0'.repeat(16) }),
    );
    folder = new CredentialFolder(way, OLD);
    fake = await FakeInfisical.start({
      apiVersion: 'v3',
      clientId: 'id',
      clientSecret: OLD['client-secret'],
    });
    service = await ChildService.start({
      NODE_ENV: 'production',
      PORT: '0',
      GRANTS_DIR: apps,
      // One app makes all the load.
      RATE_LIMIT_APP_READS: '0',
      RATE_LIMIT_USER_READS: '0',
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: 'id',
      INFISICAL_CLIENT_SECRET_FILE: folder.path('client-secret'),
      ACCESS_TOKEN_KEY_FILE: folder.path('access-token-key'),
      USER_TOKEN_SECRET_FILE: folder.path('user-token-secret'),
      TLS_CERT_FILE: folder.path('tls.crt'),
      TLS_KEY_FILE: folder.path('tls.key'),
    });
    load = new Load(authority.cert, 4, () => requestWith(OLD));
    await load.passes();
  });
  afterAll(async () => {
    await load.stop();
    await service.end();
    await fake.close();
    folder.remove();
    rmSync(apps, { recursive: true });
  });

  type Keys = Pick<typeof OLD, 'access-token-key' | 'user-token-secret'>;
  async function requestWith(keys: Keys): Promise<LoadedRequest> {
    const key = (name: keyof Keys) => ({ key: Buffer.from(keys[name]) });
    const headers = {
      'x-authorization': await userToken('alice', Date.now(), key('user-token-secret')),
      'x-access-token': await accessToken('otmoiclp', 'alice', OPS, Date.now(), key('access-token-key')),
    };
    return { url: `https://127.0.0.1:${service.ports.main}/${LIST}`, headers };
  }
  async function statusWith(keys: Keys): Promise<number> {
    const { url, headers } = await requestWith(keys);
    return (await httpCall(url, { headers, body: {}, tls: { ca: authority.cert } })).status;
  }
  async function replaced(...names: (keyof typeof NEW)[]): Promise<void> {
    const files = Object.fromEntries(names.map((name) => [name, NEW[name]]));
    await folder.replace(files, () => load.passes());
  }
  const logins = (): readonly number[] =>
    fake.calls.filter(({ template }) => template === LOGIN).map(({ status }) => status);
  const reloaded = (name: string): Promise<void> =>
    eventually(() => {
      const names = service.lines('credential_reloaded').map((line) => line.name);
      expect(names.some((text) => text?.includes(name))).toBe(true);
    }, 10_000);

  it('ACCESS_TOKEN_KEY: tokens of the old and of the new key are accepted', async () => {
    expect(await statusWith({ ...OLD, 'access-token-key': NEW['access-token-key'] })).toBe(401);
    await replaced('access-token-key');
    await reloaded('ACCESS_TOKEN_KEY');
    const both = [await statusWith({ ...OLD, 'access-token-key': NEW['access-token-key'] }), await statusWith(OLD)]; // prettier-ignore
    expect(both).toEqual([200, 200]);
  });

  it('USER_TOKEN_SECRET: tokens of the old and of the new key are accepted', async () => {
    await replaced('user-token-secret');
    await reloaded('USER_TOKEN_SECRET');
    const both = [await statusWith({ ...OLD, 'user-token-secret': NEW['user-token-secret'] }), await statusWith(OLD)]; // prettier-ignore
    expect(both).toEqual([200, 200]);
  });

  it('INFISICAL_CLIENT_SECRET: the process logs in with the new one', async () => {
    fake.identity.clientSecret = NEW['client-secret'];
    const before = logins().length;
    await replaced('client-secret');
    await reloaded('INFISICAL_CLIENT_SECRET');
    await eventually(() => expect(logins().length).toBeGreaterThan(before), 10_000);
    expect(logins().at(-1)).toBe(200);
  });

  it('TLS: new connections get the new certificate', async () => {
    const presented = (): Promise<string> =>
      new Promise((resolveWith, reject) => {
        const options = { port: service.ports.main, host: '127.0.0.1', ca: authority.cert };
        const socket = connect(options, () => {
          resolveWith(socket.getPeerX509Certificate()?.serialNumber ?? '');
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const before = await presented();
    await replaced('tls.crt', 'tls.key');
    await service.logs('tls_reloaded');
    expect(await presented()).not.toBe(before);
  });

  it('and not one request of all that time has failed, nor is a credential in what was printed', async () => {
    await load.passes();
    expect([...new Set(load.failures)]).toEqual([]);
    expect(load.count).toBeGreaterThan(100);
    expect(service.output).not.toContain('canary');
  });
});
