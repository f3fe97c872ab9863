import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { loadSettings } from '../../src/config/settings';
import { AccessTokens } from '../../src/authn/tokens';
import { WatchedFiles } from '../../src/reloadable/reloadable';
import { shutDown } from '../../src/bootstrap/application';
import { TestAuthority } from '../support/certificates';
import { CredentialFolder, WAYS_TO_REPLACE, type Files } from '../support/credential-folder';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { Load, type LoadedRequest } from '../support/load';
import { startService, type Service } from '../support/service';
import { TlsFront } from '../support/tls-front';
import { accessToken, userToken } from '../support/tokens';

const MINUTE_MS = 60_000;
const LIST = 'ListSecret?workspace=otmoic';
const LOGIN = '/api/v1/auth/universal-auth/login';
const authority = new TestAuthority();
const infisicalAuthority = new TestAuthority('of Infisical');
const nextAuthority = new TestAuthority('of Infisical, the next');
const identity = infisicalAuthority.certificateFor('127.0.0.1');
const [server, renewed] = [authority.certificateFor('127.0.0.1'), authority.certificateFor('127.0.0.1')];
const OLD = {
  'access-token-key': 'canary-old-access-token-key-'.padEnd(64, 'a'),
  'user-token-secret': 'canary-old-user-token-secret-'.padEnd(64, 'u'),
  'client-id': 'canary-old-client-id',
  'client-secret': 'canary-old-client-secret',
  'infisical-ca.crt': infisicalAuthority.cert,
  'tls.crt': server.cert,
  'tls.key': server.key,
};
const NEW = {
  'access-token-key': 'canary-new-access-token-key-'.padEnd(70, 'a'),
  'user-token-secret': 'canary-new-user-token-secret-'.padEnd(70, 'u'),
};

describe.each(WAYS_TO_REPLACE)('a credential that is replaced %s, under load', (way) => {
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  let folder: CredentialFolder;
  let fake: FakeInfisical;
  let front: TlsFront;
  let service: Service;
  let load: Load;
  /** What LLDAP signs with. */
  let lldapKey: string;

  beforeEach(async () => {
    clock = new FixedClock(Date.now());
    time = new FixedMonotonicTime();
    folder = new CredentialFolder(way, OLD);
    lldapKey = OLD['user-token-secret'];
    fake = await FakeInfisical.start({
      apiVersion: 'v3',
      clientId: OLD['client-id'],
      clientSecret: OLD['client-secret'],
    });
    front = await TlsFront.start(identity, fake.url);
    const settings = loadSettings({
      GRANTS_DIR: folder.dir,
      ACCESS_TOKEN_KEY_FILE: folder.path('access-token-key'),
      USER_TOKEN_SECRET_FILE: folder.path('user-token-secret'),
      INFISICAL_URL: `https://127.0.0.1:${front.port}`,
      INFISICAL_CLIENT_ID_FILE: folder.path('client-id'),
      INFISICAL_CLIENT_SECRET_FILE: folder.path('client-secret'),
      INFISICAL_CA_FILE: folder.path('infisical-ca.crt'),
      TLS_CERT_FILE: folder.path('tls.crt'),
      TLS_KEY_FILE: folder.path('tls.key'),
      CACHE_TTL_MS: '0',
    });
    const events: string[] = [];
    const files = new WatchedFiles(clock, time, (_level, event, fields) =>
      events.push(JSON.stringify([event, fields])),
    );
    service = await startService({ clock, grantSource: exampleApps(), files }, settings);
    load = new Load(authority.cert, 4, nextRequest);
    await load.passes();
    logged = () => service.log() + events.join('\n');
  });
  afterEach(async () => {
    await load.stop();
    await shutDown(service.app);
    await front.close();
    await fake.close();
    folder.remove();
  });
  let logged: () => string;

  /** As a caller does: tokens are kept until their last minute, a user's for three. */
  async function nextRequest(): Promise<LoadedRequest> {
    const url = `${service.url}/${LIST}`;
    const nowMs = clock.nowMs();
    if (held === undefined || held.until <= nowMs || held.service !== service) {
      const issued = await service.app.get(AccessTokens).issue('otmoiclp', 'alice', OTMOICLP.ops);
      const user = await userToken('alice', nowMs, { key: Buffer.from(lldapKey) });
      held = {
        headers: { 'x-authorization': user, 'x-access-token': issued.token },
        until: nowMs + 3 * MINUTE_MS,
        service,
      };
    }
    return { url, headers: held.headers };
  }
  let held: { headers: Record<string, string>; until: number; service: Service } | undefined;

  /** One look at the files, with requests before and after. */
  const look = async (): Promise<void> => {
    await load.passes();
    clock.advance(1_000);
    time.advance(1_000);
    await load.passes();
  };
  async function replace(files: Files): Promise<void> {
    await folder.replace(files, look);
    for (let looks = 0; looks < 3; looks++) await look();
  }
  async function passTime(minutes: number): Promise<void> {
    for (let passed = 0; passed < minutes * MINUTE_MS; passed += 30_000) {
      clock.advance(30_000);
      time.advance(30_000);
      await load.passes();
    }
  }
  async function endLoad(): Promise<void> {
    await load.stop();
    expect([...new Set(load.failures)]).toEqual([]);
    expect(load.count).toBeGreaterThan(20);
    expect(logged()).not.toContain('canary');
  }
  const statusWith = async (keys: { access?: string; user?: string }): Promise<number> => {
    const current = { access: OLD['access-token-key'], user: lldapKey, ...keys };
    const headers = {
      'x-authorization': await userToken('alice', clock.nowMs(), { key: Buffer.from(current.user) }),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs(), {
        key: Buffer.from(current.access),
      }),
    };
    return (await httpCall(`${service.url}/${LIST}`, { headers, body: {}, tls: { ca: authority.cert } }))
      .status;
  };

  it('ACCESS_TOKEN_KEY: both verify until the old one’s last token is over; the new one signs two minutes later', async () => {
    const [before, after] = [OLD['access-token-key'], NEW['access-token-key']];
    const signedBy = async (key: string): Promise<boolean> => {
      const { token } = await service.app.get(AccessTokens).issue('otmoiclp', 'alice', OTMOICLP.ops);
      expect(decodeProtectedHeader(token).alg).toBe('HS256');
      const currentDate = new Date(clock.nowMs());
      return jwtVerify(token, Buffer.from(key), { currentDate }).then(
        () => true,
        () => false,
      );
    };
    expect([await statusWith({ access: before }), await statusWith({ access: after })]).toEqual([200, 401]);
    await replace({ 'access-token-key': after });
    expect([await statusWith({ access: before }), await statusWith({ access: after })]).toEqual([200, 200]);
    // Another replica may not know it yet.
    expect(await signedBy(before)).toBe(true);
    await passTime(2);
    expect([await signedBy(after), await statusWith({ access: before })]).toEqual([true, 200]);
    // The last token that this replica signed with it is over after five more; another's after seven.
    await passTime(6.5);
    expect(await statusWith({ access: before })).toBe(200);
    await passTime(0.5);
    expect([await statusWith({ access: before }), await statusWith({ access: after })]).toEqual([401, 200]);
    await endLoad();
  });

  it('USER_TOKEN_SECRET: both verify for five minutes, then the new one alone', async () => {
    const [before, after] = [OLD['user-token-secret'], NEW['user-token-secret']];
    await replace({ 'user-token-secret': after });
    expect([await statusWith({ user: before }), await statusWith({ user: after })]).toEqual([200, 200]);
    // LLDAP is restarted a minute later.
    await passTime(1);
    lldapKey = after;
    await passTime(3.5);
    expect(await statusWith({ user: before })).toBe(200);
    await passTime(0.5);
    expect([await statusWith({ user: before }), await statusWith({ user: after })]).toEqual([401, 200]);
    await endLoad();
  });

  it('the Infisical identity: the session is made anew, and outlives the revocation of the old secret', async () => {
    const logins = (): number[] =>
      fake.calls.filter(({ template }) => template === LOGIN).map(({ status }) => status);
    expect(logins()).toEqual([200]);
    // From here on the fake refuses the old ones, as after a revocation that leaves tokens alone.
    Object.assign(fake.identity, {
      clientId: 'canary-new-client-id',
      clientSecret: 'canary-new-client-secret',
    });
    await replace({ 'client-id': 'canary-new-client-id', 'client-secret': 'canary-new-client-secret' });
    await passTime(1.5);
    expect(logins().at(-1)).toBe(200);
    const before = logins().length;
    expect(before).toBeGreaterThan(1);
    fake.killTokens('unknown');
    await load.passes(3);
    expect(logins()).toHaveLength(before + 1);
    await endLoad();
  });

  it('the Infisical secret, revoked before anybody has looked: the refused login is repeated with the new one', async () => {
    fake.identity.clientSecret = 'canary-new-client-secret';
    await folder.replace({ 'client-secret': 'canary-new-client-secret' }, async () => undefined);
    fake.killTokens('expired');
    await load.passes(3);
    expect(fake.calls.filter(({ template }) => template === LOGIN).map(({ status }) => status)).toEqual([
      200, 401, 200,
    ]);
    await endLoad();
  });

  it('INFISICAL_CA_FILE: the next authority is trusted as soon as the server has its certificate', async () => {
    await replace({ 'infisical-ca.crt': `${infisicalAuthority.cert}${nextAuthority.cert}` });
    front.renew(nextAuthority.certificateFor('127.0.0.1'));
    await endLoad();
    front.cut();
    expect(await statusWith({})).toBe(200);
  });

  it('the TLS certificate: no new connection sees the old one', async () => {
    const presented = async (): Promise<string> =>
      new Promise((resolve, reject) => {
        const { port } = (service.app.getHttpServer() as { address(): AddressInfo }).address();
        const socket = connect({ port, host: '127.0.0.1', ca: authority.cert }, () => {
          resolve(socket.getPeerX509Certificate()?.toString() ?? '');
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const plain = (pem: string): string => pem.replace(/\r/g, '').trim();
    expect(plain(await presented())).toBe(plain(server.cert));
    await replace({ 'tls.crt': renewed.cert, 'tls.key': renewed.key });
    expect(plain(await presented())).toBe(plain(renewed.cert));
    await endLoad();
  });
});
