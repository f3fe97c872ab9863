import { hash } from 'bcrypt';
import { AlicesSystemServer } from '../support/alices-system-server';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { SystemServer } from '../support/system-server';
import { userToken } from '../support/tokens';

/** As the clients see it: they look where they look, whatever was answered. */
interface Wrapped {
  readonly code: number;
  readonly data: {
    readonly code: number;
    readonly message: string;
    readonly data: { readonly value: string } & readonly { readonly name: string }[];
  };
}

const clock = new FixedClock();
const OS_SYSTEM_SERVER_PATH = '/system-server/v1alpha1/secret/secret.infisical/v1';

/**
 * The published clients, reduced to what each sends and to its own test of the answer. What they send is the same since
 * the first Olares; only documents speak of `code: 200`.
 */
const CLIENTS = {
  'a client of the published apps': {
    styles: ['sidecar'],
    succeeded: (body: Wrapped) => body.code === 0 && body.data.code === 0,
    valueIn: (body: Wrapped) => body.data.data.value,
    namesIn: (body: Wrapped) => body.data.data.map(({ name }) => name),
  },
  'a client after the documents': {
    styles: ['documented'],
    succeeded: (body: Wrapped) => body.code === 0 && body.data.code === 200,
    valueIn: (body: Wrapped) => body.data.data.value,
    namesIn: (body: Wrapped) => body.data.data.map(({ name }) => name),
  },
  'the Settings client': {
    styles: ['sidecar', 'documented'],
    succeeded: (body: Wrapped) => body.code === 0,
    valueIn: (body: Wrapped) => body.data.data.value,
    // Its workaround for a workspace that was never written, which the predecessor answered with a 500.
    namesIn: (body: Wrapped) =>
      body.code === 0 &&
      body.data.code === 500 &&
      body.data.message === 'get user workspace error, not found the workspaces of user org'
        ? []
        : body.data.data.map(({ name }) => name),
  },
} as const;

const arrivals = ['pointed here by OS_SYSTEM_SERVER', 'through the system-server of the user'] as const;

describe.each(['documented', 'sidecar'] as const)('with RESPONSE_STYLE=%s', (responseStyle) => {
  let service: Service;
  let systemServer: SystemServer;
  let store: MemorySecretStore;
  beforeEach(async () => {
    clock.advance(1000);
    store = new MemorySecretStore();
    service = await startService(
      { clock, store, grantSource: exampleApps(), peerVerifier: new AlicesSystemServer() },
      { responseStyle },
    );
    systemServer = await SystemServer.start(service.url, { appKey: OTMOICLP.appKey, user: 'alice' });
  });
  afterEach(async () => {
    await systemServer.close();
    await service.close();
  });

  /** As the published clients make it: bcrypt over key, time and secret, one token for all operations. */
  const accessToken = async (): Promise<string> => {
    const timestamp = Math.floor(clock.nowMs() / 1000);
    const { appKey, appSecret, ops } = OTMOICLP;
    const { body } = await httpCall(`${service.url}/permission/v1alpha1/access`, {
      body: {
        app_key: appKey,
        timestamp,
        token: await hash(`${appKey}${timestamp}${appSecret}`, 10),
        perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops },
      },
    });
    expect(body).toMatchObject({ code: 0, message: 'success' });
    return (body as unknown as { data: { access_token: string } }).data.access_token;
  };

  const clients = Object.entries(CLIENTS).filter(([, { styles }]) =>
    (styles as readonly string[]).includes(responseStyle),
  );

  describe.each(clients)('%s', (_name, client) => {
    it.each(arrivals)('%s: creates, reads, updates, lists and deletes a secret', async (arrival) => {
      const base = arrival === arrivals[0] ? service.url : systemServer.url;
      const headers = {
        'x-access-token': await accessToken(),
        'x-authorization': await userToken('alice', clock.nowMs()),
        'content-type': 'application/json',
      };
      const call = async (op: string, body: object): Promise<Answer['body']> => {
        const url = `${base}${OS_SYSTEM_SERVER_PATH}/${op}?workspace=otmoic`;
        const answer = await httpCall(url, { body, headers });
        expect(answer.status).toBe(200);
        return answer.body;
      };
      expect(client.namesIn(await call('ListSecret', {}))).toEqual([]);
      expect(
        client.succeeded(await call('CreateSecret', { name: 'mnemonic', value: 'v', env: 'prod' })),
      ).toBe(true);
      const read = await call('RetrieveSecret', { name: 'mnemonic' });
      expect([client.succeeded(read), client.valueIn(read)]).toEqual([true, 'v']);
      expect(client.succeeded(await call('UpdateSecret', { name: 'mnemonic', value: 'w' }))).toBe(true);
      expect(client.valueIn(await call('RetrieveSecret', { name: 'mnemonic', env: '' }))).toBe('w');
      expect(client.namesIn(await call('ListSecret', { env: 'prod' }))).toEqual(['mnemonic']);
      expect(client.succeeded(await call('DeleteSecret', { name: 'mnemonic' }))).toBe(true);
      const gone = await call('RetrieveSecret', { name: 'mnemonic' });
      if (client.succeeded === CLIENTS['the Settings client'].succeeded) return;
      expect(client.succeeded(gone)).toBe(false);
    });
  });

  it('the admin page of the Settings app works with the names that it tests for', async () => {
    const headers = { 'x-authorization': await userToken('alice', clock.nowMs()) };
    const admin = async (method: string, body?: object) => {
      const { body: answer } = await httpCall(`${service.url}/admin/secret/otmoiclp`, {
        method,
        body,
        headers,
      });
      return answer as unknown as { code: number; data: unknown };
    };
    const code = responseStyle === 'sidecar' ? 0 : 200;
    expect(await admin('GET')).toMatchObject({ code, data: [] });
    expect((await admin('POST', { Key: 'k', Value: 'v' })).code).toBe(code);
    expect((await admin('PUT', { Key: 'k', Value: 'w' })).code).toBe(code);
    expect(await admin('GET')).toMatchObject({ code, data: [{ Workspace: 'otmoic', Key: 'k' }] });
    expect((await admin('DELETE', { Key: 'k' })).code).toBe(code);
    const permission = await httpCall(`${service.url}/admin/permission/otmoiclp`, { method: 'GET', headers });
    expect(permission.body).toMatchObject({ code, data: { permission: true } });
  });
});
