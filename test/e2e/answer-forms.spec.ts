import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const SYSTEM_SERVER = 'system-server/v1alpha1/secret/secret.infisical/v1/';
const clock = new FixedClock();

describe.each(['documented', 'sidecar'] as const)('with RESPONSE_STYLE=%s', (responseStyle) => {
  const store = new MemorySecretStore();
  const successCode = responseStyle === 'sidecar' ? 0 : 200;
  let service: Service;
  let credentials: Record<string, string>;
  beforeAll(async () => {
    service = await startService({ clock, store, grantSource: exampleApps() }, { responseStyle });
    credentials = {
      'x-request-id': 'r1',
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
  });
  afterAll(async () => service.close());

  const call = async (
    target: string,
    body: unknown = {},
    headers: Record<string, string> = {},
  ): Promise<Answer> =>
    httpCall(`${service.url}/${target}?workspace=otmoic`, { headers: { ...credentials, ...headers }, body });

  it('a success has its code', async () => {
    const answer = await call('ListSecret');
    expect([answer.status, answer.body]).toEqual([200, { code: successCode, message: '', data: [] }]);
  });

  it('a failure has its code, and HTTP 200 in the sidecar form', async () => {
    for (const [answer, code, reason] of [
      [await call('RetrieveSecret', { name: 'none' }), 404, 'SECRET_NOT_FOUND'],
      [await call('RetrieveSecret', { name: '' }), 400, 'INVALID_REQUEST'],
      [await call('ListSecret', {}, { 'x-access-token': 'no' }), 401, 'UNAUTHENTICATED'],
      [await call('ListSecret', '{', { 'content-type': 'application/json' }), 400, 'INVALID_REQUEST'],
    ] as const) {
      const status = responseStyle === 'sidecar' ? 200 : code;
      expect([answer.status, answer.body.code, answer.body.data.reason]).toEqual([status, code, reason]);
    }
  });

  it('probes and unknown routes keep their HTTP status', async () => {
    expect((await httpCall(`${service.url}/livez`, { method: 'GET' })).body.code).toBe(200);
    expect((await call('Nope')).status).toBe(404);
    store.failure = new Error('gone');
    expect((await httpCall(`${service.url}/readyz`, { method: 'GET' })).status).toBe(503);
    store.failure = undefined;
  });

  describe("calls on system-server's path", () => {
    const through = async (operation: string, body: unknown = {}, headers: Record<string, string> = {}) =>
      call(SYSTEM_SERVER + operation, body, headers);

    it('are answered as system-server answers, from the creation of a secret to its deletion', async () => {
      const wrapped = (data: unknown) => ({
        code: 0,
        message: 'success',
        data: { code: successCode, message: '', data },
      });
      expect((await through('CreateSecret', { name: 'k', value: 'v' })).body).toEqual(wrapped(''));
      const read = await through('RetrieveSecret', { name: 'k' });
      expect(read.body).toEqual(wrapped({ name: 'k', value: 'v', env: 'prod' }));
      // The published clients' own checks.
      expect(read.body.data.data.value).toBe('v');
      if (responseStyle === 'sidecar') expect(read.body.code === 0 && read.body.data.code === 0).toBe(true);
      expect((await through('UpdateSecret', { name: 'k', value: 'w' })).body).toEqual(wrapped(''));
      expect((await through('ListSecret')).body).toEqual(wrapped([{ name: 'k', value: 'w', env: 'prod' }]));
      expect((await through('DeleteSecret', { name: 'k' })).body).toEqual(wrapped(''));
      // The Settings client takes an empty list, without its workaround for the sidecar's 500.
      expect((await through('ListSecret')).body.data.data).toEqual([]);
    });

    it("are HTTP 200 with the provider's answer where they fail", async () => {
      const answer = await through('RetrieveSecret', { name: 'none' });
      const provider = {
        code: 404,
        message: 'There is no secret of that name in this workspace and environment.',
        data: { reason: 'SECRET_NOT_FOUND', requestId: 'r1', name: 'none' },
      };
      expect([answer.status, answer.body]).toEqual([
        200,
        responseStyle === 'sidecar'
          ? { code: 0, message: 'success', data: provider }
          : { code: 1, message: `invoke provider err: code 404, ${JSON.stringify(provider)}` },
      ]);
    });

    it.each(SECRET_OPERATIONS)(
      'a refused access token is code 100001, and the store is not touched: %s',
      async (op) => {
        store.calls.splice(0);
        const answer = await through(op, { name: 'k', value: 'v' }, { 'x-access-token': 'no' });
        expect([answer.status, answer.body]).toEqual([
          200,
          { code: 100001, message: 'TokenValidationError: A credential is missing or was refused.' },
        ]);
        expect(store.calls).toEqual([]);
      },
    );

    it('are refused without the grant', async () => {
      store.calls.splice(0);
      const target = `${service.url}/${SYSTEM_SERVER}ListSecret?workspace=other`;
      const answer = await httpCall(target, { headers: credentials, body: {} });
      expect(JSON.stringify(answer.body)).toContain('NOT_GRANTED');
      expect(store.calls).toEqual([]);
    });

    it.each([
      'system-server/v1alpha1/secret/secret.infisical/v2/ListSecret',
      'system-server/v1alpha1/key/secret.infisical/v1/ListSecret',
      'system-server/v1alpha1/secret/secret.infisical/v1/Nope',
      'system-server/v1alpha1/secret/secret.infisical/v1/livez',
      'system-server/v1alpha1/secret/secret.infisical/v1/permission/v1alpha1/access',
    ])('another provider or operation is none of ours: %s', async (target) => {
      store.calls.splice(0);
      const answer = await call(target);
      expect(JSON.stringify(answer.body)).toContain('ROUTE_NOT_FOUND');
      expect(store.calls).toEqual([]);
    });

    it('are logged by their operation', async () => {
      await through('ListSecret', {}, { 'x-request-id': 'wrapped' });
      const line = service.logLines().find((entry) => entry['requestId'] === 'wrapped');
      expect([line?.['op'], line?.['app'], line?.['workspace']]).toEqual([
        'ListSecret',
        'otmoiclp',
        'otmoic',
      ]);
    });
  });
});
