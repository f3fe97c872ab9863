import type { AuditRecord } from '../../src/audit/audit-sink';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { httpCall } from '../support/http-call';
import { AUDIT_SETTINGS, MemoryAuditSink } from '../support/memory.audit-sink';
import { MemorySecretStore } from '../support/memory.secret-store';
import { type Service, startService } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const VALUE = 'canary-value-7f3a';

describe('the audit trail of the service', () => {
  const sink = new MemoryAuditSink();
  const store = new MemorySecretStore();
  let service: Service;
  let headers: Record<string, string>;
  beforeAll(async () => {
    service = await startService(
      { store, grantSource: exampleApps(), auditSink: sink },
      { audit: AUDIT_SETTINGS },
    );
    headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, Date.now()),
    };
  });
  afterAll(() => service.close());
  beforeEach(() => {
    sink.records.length = 0;
    sink.refuse = () => false;
    sink.hangs = false;
    store.failure = undefined;
  });

  const call = (op: string, body: object, path = `/${op}?workspace=otmoic`, more = {}) =>
    httpCall(`${service.url}${path}`, { headers: { ...headers, ...more }, body });
  const create = (name: string) => call('CreateSecret', { name, value: VALUE });
  const reasonOf = ({ body }: { readonly body: { readonly data: { readonly reason?: string } } }) =>
    body.data.reason;

  it('has an attempt before a write and the outcome of it, with the hash of the value and not the value', async () => {
    const answer = await create('a');
    expect(answer.status).toBe(200);
    const common = {
      requestId: answer.headers['x-request-id'],
      operation: 'CreateSecret',
      app: 'otmoiclp',
      user: 'alice',
      provenBy: ['user_token', 'access_token'],
      peer: expect.stringContaining('127.0.0.1'),
      workspace: 'otmoic',
      environment: 'prod',
      name: 'a',
      grants: ['CreateSecret?workspace=otmoic'],
      valueMac: expect.stringMatching(/^[\w-]{43}$/),
      time: expect.stringMatching(/^\d{4}-.*Z$/),
    };
    expect(sink.records).toEqual([
      { ...common, event: 'attempt' },
      { ...common, event: 'outcome', outcome: 'allowed', durationMs: expect.any(Number) },
    ]);
  });

  it('has one record of a read', async () => {
    await create('b');
    sink.records.length = 0;
    await call('RetrieveSecret', { name: 'b', env: 'prod' });
    await call('ListSecret', {});
    expect(sink.records).toMatchObject([
      { event: 'outcome', outcome: 'allowed', operation: 'RetrieveSecret', name: 'b', workspace: 'otmoic' },
      {
        event: 'outcome',
        outcome: 'allowed',
        operation: 'ListSecret',
        workspace: 'otmoic',
        environment: 'prod',
      },
    ]);
    expect(sink.records[1]).not.toHaveProperty('name');
  });

  const SYSTEM_SERVER = '/system-server/v1alpha1/secret/secret.infisical/v1';
  const cases: readonly [string, () => Promise<unknown>, Partial<AuditRecord>][] = [
    ['a name that is not there', () => call('RetrieveSecret', { name: 'nothing' }), { outcome: 'failed', reason: 'SECRET_NOT_FOUND', name: 'nothing' }],
    ['a workspace without a grant', () => call('ListSecret', {}, '/ListSecret?workspace=foreign'), { outcome: 'denied', reason: 'NOT_GRANTED', app: 'otmoiclp', workspace: 'foreign' }],
    ['a stranger', () => httpCall(`${service.url}/ListSecret?workspace=otmoic`, { body: {} }), { outcome: 'denied', reason: 'UNAUTHENTICATED', workspace: 'otmoic' }],
    ['a broken field', () => call('RetrieveSecret', { name: '' }), { outcome: 'failed', reason: 'INVALID_REQUEST', user: 'alice' }],
    ['a store that is away', () => { store.failure = new StoreUnavailable(); return call('ListSecret', {}); }, { outcome: 'failed', reason: 'STORE_UNAVAILABLE' }],
    ["system-server's path, which answers 200", () => call('ListSecret', {}, `${SYSTEM_SERVER}/ListSecret?workspace=foreign`), { outcome: 'denied', reason: 'NOT_GRANTED' }],
    ['an access token whose proof is refused with 200', () => httpCall(`${service.url}/permission/v1alpha1/access`, { body: { app_key: OTMOICLP.appKey, timestamp: 1, token: `$2b$10$${'a'.repeat(53)}`, perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: OTMOICLP.ops } } }), { operation: 'IssueAccessToken', outcome: 'denied', reason: 'UNAUTHENTICATED', claimedApp: 'otmoiclp', claimedUser: 'alice' }],
    ['the names in Settings', () => httpCall(`${service.url}/admin/secret/otmoiclp`, { method: 'GET', headers }), { operation: 'ListAppSecrets', outcome: 'allowed', app: 'otmoiclp', user: 'alice', provenBy: ['user_token'] }],
    ['Settings with an encoded app name', () => httpCall(`${service.url}/admin/secret/otmoicl%70`, { method: 'GET', headers }), { operation: 'ListAppSecrets', outcome: 'allowed', app: 'otmoiclp' }],
    ['the grants in Settings', () => httpCall(`${service.url}/admin/explain/otmoiclp`, { method: 'GET', headers }), { operation: 'ExplainGrants', outcome: 'allowed', app: 'otmoiclp' }],
    ['what an app asks about its own grants', () => call('explain', { operation: 'ListSecret', workspace: 'foreign' }, '/explain'), { operation: 'ExplainGrants', outcome: 'allowed', app: 'otmoiclp', user: 'alice', provenBy: ['user_token', 'access_token'], workspace: 'foreign' }],
    ['what a stranger asks about grants', () => httpCall(`${service.url}/explain`, { body: {} }), { operation: 'ExplainGrants', outcome: 'denied', reason: 'UNAUTHENTICATED' }],
    ['Settings for another user', () => httpCall(`${service.url}/admin/secret/otmoiclp?user=bob`, { method: 'GET', headers }), { operation: 'ListAppSecrets', outcome: 'denied', reason: 'USER_MISMATCH' }],
    ["a user event of somebody who is not Olares'", () => httpCall(`${service.url}/user/delete`, { body: { name: 'alice' } }), { operation: 'UserDeleted', outcome: 'denied', reason: 'UNAUTHENTICATED' }],
  ]; // prettier-ignore
  it.each(cases)('has one record of %s', async (_what, act, expected) => {
    await act();
    expect(sink.records).toHaveLength(1);
    expect(sink.records[0]).toMatchObject({ event: 'outcome', ...expected });
    if (expected.outcome === 'denied') expect(sink.records[0]).not.toHaveProperty('grants');
  });

  it('has no record of a route that touches neither secrets nor grants', async () => {
    await httpCall(`${service.url}/readyz`, { method: 'GET' });
    await httpCall(`${service.url}/nothing`, {});
    expect(sink.records).toEqual([]);
  });

  it('refuses a read whose record is not taken, and sends nothing of it', async () => {
    await create('c');
    sink.refuse = () => true;
    const answer = await call('RetrieveSecret', { name: 'c' });
    expect([answer.status, reasonOf(answer)]).toEqual([503, 'AUDIT_UNAVAILABLE']);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.text).not.toContain(VALUE);
    sink.refuse = () => false;
    expect((await call('RetrieveSecret', { name: 'c' })).status).toBe(200);
  });

  it('does not send a write to the store whose attempt is not taken', async () => {
    sink.refuse = () => true;
    const answer = await create('d');
    expect([answer.status, reasonOf(answer)]).toEqual([503, 'AUDIT_UNAVAILABLE']);
    sink.refuse = () => false;
    expect((await call('RetrieveSecret', { name: 'd' })).status).toBe(404);
  });

  it('says of a write that was sent and whose outcome is not taken that the outcome is unknown', async () => {
    sink.refuse = ({ event }) => event === 'outcome';
    const answer = await create('e');
    expect([answer.status, reasonOf(answer)]).toEqual([503, 'STORE_OUTCOME_UNKNOWN']);
    expect(answer.headers['retry-after']).toBeUndefined();
    expect(sink.records).toMatchObject([{ event: 'attempt', name: 'e' }]);
  });

  it('refuses even a denial whose record is not taken', async () => {
    sink.refuse = () => true;
    expect(reasonOf(await call('ListSecret', {}, '/ListSecret?workspace=foreign'))).toBe('AUDIT_UNAVAILABLE');
  });

  it('refuses after the deadline where the sink does not answer, says why in readiness, and recovers', async () => {
    sink.hangs = true;
    expect(reasonOf(await call('ListSecret', {}))).toBe('AUDIT_UNAVAILABLE');
    const ready = await httpCall(`${service.url}/readyz`, { method: 'GET' });
    expect(ready.text).toContain('The audit trail takes no records (deadline)');
    sink.hangs = false;
    expect((await call('ListSecret', {})).status).toBe(200);
    expect((await httpCall(`${service.url}/readyz`, { method: 'GET' })).text).not.toContain('audit');
    const events = service.logLines().map(({ msg }) => msg);
    expect(events).toEqual(expect.arrayContaining(['audit_unavailable', 'audit_recovered']));
  });

  it('has no value, token or key in any record of all of this', async () => {
    await create('f');
    await call('UpdateSecret', { name: 'f', value: `${VALUE}-2` });
    await httpCall(`${service.url}/admin/secret/otmoiclp`, { headers, body: { Key: 'g', Value: VALUE } });
    await call('CreateSecret', { name: 'h', value: VALUE, more: VALUE });
    await call('ListSecret', {}, `/ListSecret?workspace=${VALUE} x`);
    const text = JSON.stringify(sink.records);
    expect(sink.records.length).toBeGreaterThan(6);
    for (const secret of [
      VALUE,
      ...Object.values(headers),
      OTMOICLP.appKey,
      Buffer.from(AUDIT_SETTINGS.key).toString('base64'),
    ])
      expect(text).not.toContain(secret);
  });
});
