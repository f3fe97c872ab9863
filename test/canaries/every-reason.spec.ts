import { inspect } from 'node:util';
import { type Reason, STATUS_OF } from '../../src/errors/domain-error';
import { Overloaded, ShuttingDown, TooManyRequests } from '../../src/errors/request-errors';
import {
  ApprovalRequired,
  ListTooLarge,
  QuotaExceeded,
  StoreFull,
  StoreOutcomeUnknown,
  StoreRefused,
  StoreUnavailable,
} from '../../src/errors/store-errors';
import { eventually } from '../support/eventually';
import type { Answer } from '../support/http-call';
import { openSocket, rawExchange } from '../support/raw-exchange';
import { CanaryService } from './canary-service';

const one = new CanaryService();
beforeAll(() => one.start());
afterAll(() => one.close());
afterEach(() => {
  one.store.failure = undefined;
  one.audit.fails = false;
  one.directory.fails = false;
  one.peers.isSettings = true;
  one.grants.setReady(true);
});

const create = (name: string, value = one.value()) => one.operate('CreateSecret', { name, value });
const failing = (error: Error) => async (): Promise<Answer> => {
  one.store.failure = error;
  await one.operate('RetrieveSecret', { name: 'n' });
  await one.operate('ListSecret', {});
  await one.operate('DeleteSecret', { name: 'n' });
  await one.operate('UpdateSecret', { name: 'n', value: one.value() });
  return create('n');
};

/** An error of a library that holds a value and a credential wherever an error can. */
function foreignError(): Error {
  const value = one.value();
  const message = `failed\n${value}\n    at ${value} (/${value}.js:1:1)`;
  const error = new AggregateError([new Error(value)], message, { cause: new Error(value) });
  return Object.assign(error, {
    config: { headers: { authorization: one.value() }, data: value },
    code: value,
  });
}

const admin = async (method: string, headers: Record<string, string>, body?: object): Promise<Answer> =>
  one.send('/admin/secret/notes', { method, headers, ...(body && { body }) });
const cookie = async () => `lang=en; auth_token=${(await one.headers())['x-authorization']}`;

/** How each reason of the catalogue comes about, with secrets in everything that is sent. */
const REASONS: Readonly<Record<Reason, () => Promise<Answer | undefined>>> = {
  INVALID_REQUEST: async () => {
    await one.operate('CreateSecret', { name: one.value().repeat(5), value: one.value() });
    await one.operate('CreateSecret', { name: 'n', value: `${one.value()}\0` });
    await one.operate('CreateSecret', { name: 'n', value: [one.value()], env: one.value() });
    return one.operate('RetrieveSecret', { name: 'n', value: one.value() });
  },
  UNAUTHENTICATED: async () => {
    const { 'x-authorization': user = '', 'x-access-token': app = '' } = await one.headers();
    const forged = `${user.slice(0, -4)}AAAA`;
    await one.operate('ListSecret', {}, { 'x-access-token': user, 'x-authorization': app });
    await one.operate(
      'ListSecret',
      {},
      { authorization: `Basic ${Buffer.from(one.value()).toString('base64')}` },
    );
    await one.send('/user/delete', { headers: { authorization: `Bearer ${app}` }, body: { name: 'alice' } });
    await one.access(one.others.appSecret);
    return one.operate('ListSecret', {}, { 'x-authorization': forged });
  },
  NOT_GRANTED: async () => {
    await one.access(undefined, ['CreateSecret?workspace=foreign']);
    return one.send('/CreateSecret?workspace=foreign', { headers: await one.headers(), body: { name: 'n', value: one.value() } }); // prettier-ignore
  },
  USER_MISMATCH: async () => {
    const { 'x-authorization': user = '' } = await one.headers('bob');
    return one.operate('CreateSecret', { name: 'n', value: one.value() }, { 'x-authorization': user });
  },
  NOT_SETTINGS_APP: async () => {
    one.peers.isSettings = false;
    return admin('POST', await one.headers(), { Key: 'k', Value: one.value() });
  },
  CROSS_SITE_REQUEST: async () => {
    const headers = { cookie: await cookie(), origin: `https://${one.value().slice(0, 20)}.example` };
    return admin('POST', headers, { Key: 'k', Value: one.value() });
  },
  SECRET_NOT_FOUND: async () => {
    await one.operate('UpdateSecret', { name: 'missing', value: one.value() });
    return one.operate('RetrieveSecret', { name: 'missing' });
  },
  ROUTE_NOT_FOUND: async () => {
    const headers = await one.headers();
    await one.send(`/${encodeURIComponent(one.value())}?token=${headers['x-access-token']}`, { headers });
    return one.send(`/createsecret?value=${encodeURIComponent(one.value())}`, { headers, body: { value: one.value() } }); // prettier-ignore
  },
  SECRET_ALREADY_EXISTS: async () => {
    await create('twice');
    return create('twice');
  },
  APPROVAL_REQUIRED: failing(new ApprovalRequired()),
  PRECONDITION_FAILED: async () => {
    const value = one.value();
    await create('conditional', value);
    const { headers } = await one.operate('RetrieveSecret', { name: 'conditional' }, {}, value);
    await one.operate('UpdateSecret', { name: 'conditional', value: one.value() });
    const ifMatch = { 'if-match': String(headers['etag']) };
    return one.operate('UpdateSecret', { name: 'conditional', value: one.value() }, ifMatch);
  },
  REQUEST_TOO_LARGE: () => create('large', one.value().repeat(100_000)),
  STORE_REFUSED: failing(new StoreRefused('names may not begin so')),
  TOO_MANY_REQUESTS: failing(new TooManyRequests(1)),
  HEADERS_TOO_LARGE: async () => {
    const { 'x-access-token': token = '' } = await one.headers();
    const many = Array.from({ length: 150 }, (_, at) => [`x-${at}`, token.slice(-40)]);
    return one.operate('ListSecret', {}, Object.fromEntries(many));
  },
  CLIENT_GONE: async () => {
    let open = (): void => undefined;
    one.store.gate = new Promise((resolve) => (open = resolve));
    const headers = Object.entries(await one.headers()).map(([name, value]) => `${name}: ${value}\r\n`);
    const body = JSON.stringify({ name: 'gone', value: one.value() });
    const socket = openSocket(one.service.url);
    const asked = one.store.calls.length;
    socket.write(`POST /CreateSecret?workspace=notes HTTP/1.1\r\nHost: x\r\n${headers.join('')}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`); // prettier-ignore
    await eventually(() => expect(one.store.calls.length).toBeGreaterThan(asked));
    socket.destroy();
    await eventually(() => expect(one.service.log()).toContain('CLIENT_GONE'));
    open();
    return undefined;
  },
  INTERNAL: async () => {
    const answer = await failing(foreignError())();
    await admin('GET', await one.headers());
    await admin('POST', await one.headers(), { Key: 'k', Value: one.value() });
    return answer;
  },
  STORE_UNAVAILABLE: failing(new StoreUnavailable()),
  STORE_OUTCOME_UNKNOWN: failing(new StoreOutcomeUnknown()),
  GRANTS_UNAVAILABLE: async () => {
    one.grants.setReady(false);
    await one.access();
    return create('n');
  },
  IDENTITY_UNAVAILABLE: async () => {
    one.directory.fails = true;
    return create('n');
  },
  USER_REMOVAL_PENDING: async () => {
    await one.store.create({ user: 'carol', workspace: 'w', environment: 'prod' }, { name: 'n', value: one.value() }); // prettier-ignore
    const event = (what: string) => one.send(`/user/${what}`, { headers: { authorization: `Bearer ${one.sender}` }, body: { name: 'carol' } }); // prettier-ignore
    jest.spyOn(one.store, 'removeWorkspace').mockRejectedValue(foreignError());
    await event('delete');
    await eventually(() => expect(one.service.log()).toContain('user_removal_failed'));
    return event('create');
  },
  AUDIT_UNAVAILABLE: async () => {
    one.audit.fails = true;
    await one.operate('RetrieveSecret', { name: 'twice' });
    return create('unrecorded');
  },
  NOT_READY: async () => {
    one.store.failure = foreignError();
    return one.send('/readyz', { method: 'GET', headers: await one.headers() });
  },
  OVERLOADED: failing(new Overloaded()),
  SHUTTING_DOWN: failing(new ShuttingDown()),
  QUOTA_EXCEEDED: failing(new QuotaExceeded('user_bytes', 1, 1)),
  STORE_FULL: failing(new StoreFull()),
  LIST_TOO_LARGE: failing(new ListTooLarge()),
};

describe('no value, token or key is in the log, the audit, metrics, traces, answers to others, or anything printed', () => {
  it.each(Object.keys(REASONS) as Reason[])('when a request fails with %s', async (reason) => {
    const answer = await REASONS[reason]();
    if (answer !== undefined) expect([answer.status, answer.body.data.reason]).toEqual([STATUS_OF[reason], reason]); // prettier-ignore
    // The probes have no line in the log.
    if (reason !== 'NOT_READY') expect(one.service.log()).toContain(reason);
    expect(await one.leaks()).toEqual([]);
  });

  it('when all operations succeed, in each style of answer, and an access token is issued and used', async () => {
    const [first, second] = [one.value(), one.value()];
    const { body } = await one.access();
    const headers = { 'x-access-token': String(body.data.access_token) };
    await one.operate('CreateSecret', { name: 'k', value: first }, headers);
    expect((await one.operate('RetrieveSecret', { name: 'k' }, headers, first)).body.data.value).toBe(first);
    await one.operate('UpdateSecret', { name: 'k', value: second }, headers);
    const credentials = await one.headers();
    const path = '/system-server/v1alpha1/secret/secret.infisical/v1/RetrieveSecret?workspace=notes';
    expect((await one.send(path, { headers: credentials, body: { name: 'k' } }, second)).text).toContain(JSON.stringify(second)); // prettier-ignore
    await admin('POST', credentials, { Key: 'k2', Value: one.value() });
    await admin('PUT', credentials, { Key: 'k2', Value: one.value() });
    // Settings see names alone.
    expect((await admin('GET', credentials)).body.data).toContainEqual({ Key: 'k2', Workspace: 'notes' });
    await admin('DELETE', credentials, { Key: 'k2' });
    expect((await one.operate('DeleteSecret', { name: 'k' })).status).toBe(200);
    expect(await one.leaks()).toEqual([]);
  });

  it.each<[string, (value: string) => string | Buffer]>([
    ['ends early', (value) => `{"name":"n","value":"${value}`],
    ['has a value without quotes', (value) => `{"name":"n","value":${value}}`],
    ['is the value alone', (value) => value],
    ['names a field after the value', (value) => JSON.stringify({ name: 'n', [value]: value })],
    ['has the value in __proto__', (value) => `{"name":"n","__proto__":{"value":${JSON.stringify(value)}}}`],
    [
      'is nested too deep',
      (value) => `{"name":"n","value":${'['.repeat(9)}${JSON.stringify(value)}${']'.repeat(9)}}`,
    ],
    ['is a form', (value) => `name=n&value=${encodeURIComponent(value)}`],
    ['is no UTF-8', (value) => Buffer.from(`{"name":"n","value":"${value}"}`, 'latin1')],
  ])('when a body %s', async (_what, bodyOf) => {
    const value = one.value();
    const json = { 'content-type': 'application/json' };
    // The names of its own fields are told to whoever sent them, and to nobody else.
    const answer = await one.operate('CreateSecret', bodyOf(value), json, value);
    expect(answer.status).toBe(400);
    expect(await one.leaks()).toEqual([]);
  });

  it('when what arrives is not HTTP', async () => {
    const secret = one.value();
    for (const bytes of [
      secret,
      `POST /${secret} HTTP/1.1\r\n\r\n`,
      `POST / HTTP/1.1\r\nX-Access-Token\u0001: ${secret}\r\n\r\n`,
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${secret}\r\n\r\n`,
    ]) {
      // prettier-ignore
      const answers = await rawExchange(one.service.url, bytes);
      expect(one.canaries.leaksIn(inspect(answers))).toEqual([]);
    }
    expect(await one.leaks()).toEqual([]);
  });
});
