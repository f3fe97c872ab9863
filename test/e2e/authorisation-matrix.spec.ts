import { SECRET_OPERATIONS, type SecretOperation } from '../../src/authz/grant';
import { EXAMPLE_APPS, OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { ACCESS_TOKEN_KEY, accessToken, unsigned, userToken } from '../support/tokens';

/**
 * 5 operations × every way of being somebody else, or nobody. On each refusal the whole answer is compared and the
 * store's call log is empty.
 */
describe('the authorisation matrix', () => {
  const clock = new FixedClock();
  const now = clock.nowMs();
  const store = new MemorySecretStore();
  const grants = exampleApps();
  let service: Service;
  beforeAll(async () => (service = await startService({ clock, store, grantSource: grants })));
  afterAll(async () => service.close());
  beforeEach(() => store.calls.splice(0));

  const fullOps = OTMOICLP.ops;
  const good = {
    user: () => userToken('alice', now),
    access: () => accessToken('otmoiclp', 'alice', fullOps, now),
  };
  interface Case {
    readonly user?: () => Promise<string> | string;
    readonly access?: () => Promise<string> | string;
    readonly workspace?: string;
    readonly status: number;
    readonly reason: string;
    readonly credential?: string;
  }
  const unauthenticated = (credential: string) => ({ status: 401, reason: 'UNAUTHENTICATED', credential });

  const cases = (operation: SecretOperation): Record<string, Case> => {
    const others = fullOps.filter((op) => !op.startsWith(operation));
    const key = `${operation}?workspace=otmoic`;
    return {
      'no user token': { access: good.access, ...unauthenticated('X-Authorization') },
      'an empty user token': { user: () => '', access: good.access, ...unauthenticated('X-Authorization') },
      'a forged user token': {
        user: () => userToken('alice', now, { key: Buffer.from('x'.repeat(64)) }),
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'an expired user token': {
        user: () => userToken('alice', now, { expiresAtMs: now - 1000 }),
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'a user token with alg none': {
        user: async () => unsigned(await userToken('alice', now)),
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'a user token with HS256 instead of HS512': {
        user: () => userToken('alice', now, { algorithm: 'HS256' }),
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'a user token without a user name': {
        user: () => userToken('', now),
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'the access token as user token': {
        user: good.access,
        access: good.access,
        ...unauthenticated('X-Authorization'),
      },
      'the token of another user': {
        user: () => userToken('bob', now),
        access: good.access,
        status: 403,
        reason: 'USER_MISMATCH',
      },
      'no access token': { user: good.user, ...unauthenticated('X-Access-Token') },
      'a forged access token': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', fullOps, now, { key: Buffer.from('x'.repeat(64)) }),
        ...unauthenticated('X-Access-Token'),
      },
      'an expired access token': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', fullOps, now, { expiresAtMs: now - 1000 }),
        ...unauthenticated('X-Access-Token'),
      },
      'an access token of another issuer under the same key': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', fullOps, now, { issuer: 'somebody-else' }),
        ...unauthenticated('X-Access-Token'),
      },
      'an access token for another audience under the same key': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', fullOps, now, { audience: 'portfolio/v1' }),
        ...unauthenticated('X-Access-Token'),
      },
      'an access token with HS512 under the same key': {
        user: good.user,
        access: () =>
          accessToken('otmoiclp', 'alice', fullOps, now, { algorithm: 'HS512', key: ACCESS_TOKEN_KEY }),
        ...unauthenticated('X-Access-Token'),
      },
      'an access token with alg none': {
        user: good.user,
        access: async () => unsigned(await good.access()),
        ...unauthenticated('X-Access-Token'),
      },
      'the user token as access token': {
        user: good.user,
        access: good.user,
        ...unauthenticated('X-Access-Token'),
      },
      'an access token that was issued for another op': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', others, now),
        status: 403,
        reason: 'NOT_GRANTED',
      },
      'an access token whose op merely begins like this one': {
        user: good.user,
        access: () => accessToken('otmoiclp', 'alice', [`${key}2`, operation, ` ${key}`], now),
        status: 403,
        reason: 'NOT_GRANTED',
      },
      'an access token with a tampered payload': {
        user: good.user,
        access: async () => {
          const [header, , signature] = (await accessToken('otmoiclp', 'bob', fullOps, now)).split('.');
          const [, payload] = (await good.access()).split('.');
          return `${header}.${payload}.${signature}`;
        },
        ...unauthenticated('X-Access-Token'),
      },
      'another app': {
        user: good.user,
        access: () => accessToken('writer', 'alice', fullOps, now),
        status: 403,
        reason: 'NOT_GRANTED',
      },
      'another workspace': { ...good, workspace: 'someone-elses', status: 403, reason: 'NOT_GRANTED' },
      'a workspace in another letter case': {
        ...good,
        workspace: 'Otmoic',
        status: 403,
        reason: 'NOT_GRANTED',
      },
      'the workspace named like the app, which nobody granted': {
        ...good,
        workspace: 'otmoiclp',
        status: 403,
        reason: 'NOT_GRANTED',
      },
    };
  };

  const body: Record<SecretOperation, object> = {
    RetrieveSecret: { name: 'k' },
    CreateSecret: { name: 'k', value: 'v' },
    UpdateSecret: { name: 'k', value: 'v' },
    DeleteSecret: { name: 'k' },
    ListSecret: {},
  };

  async function call(
    operation: SecretOperation,
    { user, access, workspace = 'otmoic' }: Partial<Case>,
  ): Promise<Answer> {
    const headers: Record<string, string> = { 'x-request-id': 'matrix' };
    if (user !== undefined) headers['x-authorization'] = await user();
    if (access !== undefined) headers['x-access-token'] = await access();
    return httpCall(`${service.url}/${operation}?workspace=${workspace}`, { headers, body: body[operation] });
  }

  describe.each(SECRET_OPERATIONS)('%s', (operation) => {
    it.each(Object.entries(cases(operation)))('refuses %s', async (_title, refused) => {
      const answer = await call(operation, refused);
      expect([answer.status, answer.body.code, answer.body.data.reason]).toEqual([
        refused.status,
        refused.status,
        refused.reason,
      ]);
      if (refused.credential !== undefined) {
        expect(answer.body).toEqual({
          code: 401,
          message: 'A credential is missing or was refused.',
          data: { reason: 'UNAUTHENTICATED', requestId: 'matrix', credential: refused.credential },
        });
      }
      expect(store.calls).toEqual([]);
    });

    it('lets the granted caller call the store', async () => {
      const answer = await call(operation, good);
      expect(answer.body.data?.reason).not.toBe('NOT_GRANTED');
      expect(store.calls).toHaveLength(1);
    });

    it('refuses a live token at once when the grant was withdrawn', async () => {
      const token = await good.access();
      grants.set([{ ...OTMOICLP, ops: fullOps.filter((op) => !op.startsWith(operation)) }]);
      try {
        const answer = await call(operation, { user: good.user, access: () => token });
        expect(answer.body).toEqual({
          code: 403,
          message:
            `App otmoiclp has no grant for ${operation} on workspace otmoic; its OlaresManifest.yaml would need ` +
            `"${operation}?workspace=otmoic" under permission.sysData (dataType secret, group secret.infisical, version v1).`,
          data: {
            reason: 'NOT_GRANTED',
            requestId: 'matrix',
            app: 'otmoiclp',
            operation,
            workspace: 'otmoic',
            grant: `${operation}?workspace=otmoic`,
          },
        });
        expect(store.calls).toEqual([]);
        grants.set([]);
        expect((await call(operation, { user: good.user, access: () => token })).status).toBe(403);
        expect(store.calls).toEqual([]);
      } finally {
        grants.set(EXAMPLE_APPS);
      }
    });

    it('refuses while the grants are unknown', async () => {
      grants.setReady(false);
      try {
        const answer = await call(operation, good);
        expect([answer.status, answer.body.data.reason]).toEqual([503, 'GRANTS_UNAVAILABLE']);
        expect(store.calls).toEqual([]);
      } finally {
        grants.setReady(true);
      }
    });
  });

  it('refuses credentials that are sent twice or joined with a comma', async () => {
    const [user, access] = [await good.user(), await good.access()];
    for (const headers of [
      { 'x-authorization': [user, user], 'x-access-token': access },
      { 'x-authorization': user, 'x-access-token': [access, access] },
      { 'x-authorization': `${user}, ${user}`, 'x-access-token': access },
      { 'x-authorization': user, 'x-access-token': `${access},${access}` },
    ]) {
      const answer = await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
      expect([answer.status, answer.body.data.reason]).toEqual([401, 'UNAUTHENTICATED']);
    }
    expect(store.calls).toEqual([]);
  });

  it('trusts no identity header by its name', async () => {
    const headers = {
      'x-bfl-user': 'alice',
      'terminus-nonce': 'n',
      authorization: `Bearer ${await good.access()}`,
      'x-forwarded-for': '127.0.0.1',
      'x-remote-user': 'alice',
      cookie: `auth_token=${await good.user()}`,
    };
    const answer = await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
    expect(answer.status).toBe(401);
    expect(store.calls).toEqual([]);
  });
});

describe('with USER_TOKEN_REQUIRED=false', () => {
  const clock = new FixedClock();
  const now = clock.nowMs();
  const store = new MemorySecretStore();
  let service: Service;
  beforeAll(async () => {
    const userTokenSettings = { secret: Buffer.from('u'.repeat(64)), required: false };
    service = await startService(
      { clock, store, grantSource: exampleApps() },
      { userToken: userTokenSettings },
    );
  });
  afterAll(async () => service.close());
  beforeEach(() => store.calls.splice(0));

  const list = async (headers: Record<string, string>): Promise<Answer> => {
    const access = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, now);
    return httpCall(`${service.url}/ListSecret?workspace=otmoic`, {
      headers: { 'x-access-token': access, ...headers },
      body: {},
    });
  };

  it('lets a background job call with X-Access-Token alone', async () => {
    expect((await list({})).body).toEqual({ code: 200, message: '', data: [] });
    expect((await list({ 'x-authorization': '' })).status).toBe(200);
  });

  it('refuses a user token that does not verify', async () => {
    expect((await list({ 'x-authorization': 'garbage' })).status).toBe(401);
    expect(
      (await list({ 'x-authorization': await userToken('alice', now, { expiresAtMs: now - 1 }) })).status,
    ).toBe(401);
    expect(store.calls).toEqual([]);
  });

  it("refuses a user token of another user than the app's", async () => {
    const answer = await list({ 'x-authorization': await userToken('bob', now) });
    expect([answer.status, answer.body.data.reason]).toEqual([403, 'USER_MISMATCH']);
    expect(store.calls).toEqual([]);
    expect((await list({ 'x-authorization': await userToken('alice', now) })).status).toBe(200);
  });
});
