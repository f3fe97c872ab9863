import { MAX_VALUE_BYTES } from '../../src/secrets/secret';
import { ODD_VALUES } from '../conformance/secret-store.conformance';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const store = new MemorySecretStore();
let service: Service;
let credentials: Record<string, string>;
beforeAll(async () => {
  service = await startService({ clock, store, grantSource: exampleApps() });
  credentials = {
    'x-request-id': 'r1',
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  };
});
afterAll(async () => service.close());

async function call(target: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return httpCall(`${service.url}/${target}`, { headers: { ...credentials, ...headers }, body });
}
const onOtmoic = (operation: string, body?: unknown) => call(`${operation}?workspace=otmoic`, body);

describe('the five operations answer as documented', () => {
  it('from the creation of a secret to its deletion', async () => {
    expect((await onOtmoic('ListSecret', {})).body).toEqual({ code: 200, message: '', data: [] });
    const created = await onOtmoic('CreateSecret', { name: 'k', value: 'v1', env: 'dev' });
    expect([created.status, created.body]).toEqual([200, { code: 200, message: '', data: '' }]);
    expect((await onOtmoic('RetrieveSecret', { name: 'k', env: 'dev' })).body).toEqual({
      code: 200,
      message: '',
      data: { name: 'k', value: 'v1', env: 'dev' },
    });
    const again = await onOtmoic('CreateSecret', { name: 'k', value: 'v2', env: 'dev' });
    expect([again.status, again.body]).toEqual([
      409,
      {
        code: 409,
        message: 'A secret of that name exists already; its value was left as it is.',
        data: { reason: 'SECRET_ALREADY_EXISTS', requestId: 'r1', name: 'k' },
      },
    ]);
    expect((await onOtmoic('UpdateSecret', { name: 'k', value: 'v2', env: 'dev' })).body).toEqual({
      code: 200,
      message: '',
      data: '',
    });
    expect((await onOtmoic('ListSecret', { env: 'dev' })).body.data).toEqual([
      { name: 'k', value: 'v2', env: 'dev' },
    ]);
    expect((await onOtmoic('DeleteSecret', { name: 'k', env: 'dev' })).body).toEqual({
      code: 200,
      message: '',
      data: '',
    });
    for (const operation of ['RetrieveSecret', 'DeleteSecret', 'UpdateSecret']) {
      const body =
        operation === 'UpdateSecret' ? { name: 'k', value: 'v', env: 'dev' } : { name: 'k', env: 'dev' };
      const missing = await onOtmoic(operation, body);
      expect([missing.status, missing.body]).toEqual([
        404,
        {
          code: 404,
          message: 'There is no secret of that name in this workspace and environment.',
          data: { reason: 'SECRET_NOT_FOUND', requestId: 'r1', name: 'k' },
        },
      ]);
    }
  });

  it('an absent, empty or null env means prod, and the effective one is answered', async () => {
    await onOtmoic('CreateSecret', { name: 'in-prod', value: 'v' });
    const expected = { name: 'in-prod', value: 'v', env: 'prod' };
    for (const body of [
      { name: 'in-prod' },
      { name: 'in-prod', env: '' },
      { name: 'in-prod', env: null },
      { name: 'in-prod', env: 'prod' },
    ]) {
      expect((await onOtmoic('RetrieveSecret', body)).body.data).toEqual(expected);
    }
    for (const env of ['', null])
      expect((await onOtmoic('ListSecret', { env })).body.data).toEqual([expected]);
    expect((await onOtmoic('ListSecret')).body.data).toEqual([expected]);
    expect((await onOtmoic('ListSecret', { env: 'test' })).body.data).toEqual([]);
  });

  it.each(Object.entries(ODD_VALUES))(
    'a value comes back byte for byte over HTTP: %s',
    async (_title, value) => {
      const name = 'odd';
      expect((await onOtmoic('CreateSecret', { name, value, env: 'staging' })).status).toBe(200);
      const answer = await onOtmoic('RetrieveSecret', { name, env: 'staging' });
      expect(answer.body.data.value === value).toBe(true);
      await onOtmoic('DeleteSecret', { name, env: 'staging' });
    },
  );

  it.each(['utf-8', 'UTF-8', 'utf8', 'UTF8', '"utf8"'])('accepts a body of charset=%s', async (charset) => {
    const headers = { 'content-type': `application/json; charset=${charset}` };
    const answer = await call('ListSecret?workspace=otmoic', '{"env":"test"}', headers);
    expect([answer.status, answer.body.data]).toEqual([200, []]);
  });

  it('accepts the longest value in its longest JSON form', async () => {
    const body = `{"name":"wide","value":"${'\\u0001'.repeat(MAX_VALUE_BYTES)}","env":"test"}`;
    const answer = await call('CreateSecret?workspace=otmoic', body, { 'content-type': 'application/json' });
    expect(answer.body).toEqual({ code: 200, message: '', data: '' });
  });
});

it('an account of Olares has a colon in its name, and all operations take it', async () => {
  const name = 'integration-account:space:alice';
  expect((await onOtmoic('CreateSecret', { name, value: 'v', env: 'staging' })).status).toBe(200);
  expect((await onOtmoic('RetrieveSecret', { name, env: 'staging' })).body.data.value).toBe('v');
  expect((await onOtmoic('ListSecret', { env: 'staging' })).body.data).toEqual([
    { name, value: 'v', env: 'staging' },
  ]);
  expect((await onOtmoic('DeleteSecret', { name, env: 'staging' })).status).toBe(200);
});

describe('bad input is a 400 that names the field and the rule, never the value', () => {
  const CANARY = 'canary-value';
  const name = 'ok-name';
  const cases: readonly [string, string, unknown, string][] = [
    ['no name', 'RetrieveSecret', {}, 'name'],
    ['an empty name', 'RetrieveSecret', { name: '' }, 'name'],
    ['a name that is no string', 'RetrieveSecret', { name: 5 }, 'name'],
    ['a null name', 'RetrieveSecret', { name: null }, 'name'],
    ['an array as name', 'RetrieveSecret', { name: ['a'] }, 'name'],
    [
      'a name with a colon that does not fit escaped',
      'CreateSecret',
      { name: `:${'n'.repeat(91)}`, value: CANARY },
      'name',
    ],
    ['a name with a control character', 'RetrieveSecret', { name: `${CANARY}\u0007` }, 'name'],
    ['a name with a newline', 'RetrieveSecret', { name: `${CANARY}\nb` }, 'name'],
    ['a name with a bidirectional override', 'RetrieveSecret', { name: `${CANARY}\u202eb` }, 'name'],
    ['a name with a lone surrogate', 'RetrieveSecret', `{"name":"${CANARY}\\ud800"}`, 'name'],
    ['a name with leading white space', 'RetrieveSecret', { name: ` ${CANARY}` }, 'name'],
    ['a name with trailing no-break space', 'RetrieveSecret', { name: `${CANARY}\u00a0` }, 'name'],
    ['the name .', 'RetrieveSecret', { name: '.' }, 'name'],
    ['the name ..', 'DeleteSecret', { name: '..' }, 'name'],
    ['a name of 101 characters', 'CreateSecret', { name: 'n'.repeat(101), value: CANARY }, 'name'],
    ['no value', 'CreateSecret', { name }, 'value'],
    ['a null value', 'CreateSecret', { name, value: null }, 'value'],
    ['a number as value', 'UpdateSecret', { name, value: 5 }, 'value'],
    ['an object as value', 'CreateSecret', { name, value: { a: CANARY } }, 'value'],
    ['a value with NUL', 'CreateSecret', { name, value: `${CANARY}\0` }, 'value'],
    [
      'a value with a lone surrogate',
      'CreateSecret',
      `{"name":"${name}","value":"${CANARY}\\udc00"}`,
      'value',
    ],
    [
      'a value of one byte too many',
      'CreateSecret',
      { name, value: 'x'.repeat(MAX_VALUE_BYTES + 1) },
      'value',
    ],
    [
      'a value of too many bytes in UTF-8',
      'UpdateSecret',
      { name, value: 'é'.repeat(MAX_VALUE_BYTES / 2 + 1) },
      'value',
    ],
    ['an unknown env', 'RetrieveSecret', { name, env: CANARY }, 'env'],
    ['an env in another letter case', 'RetrieveSecret', { name, env: 'Prod' }, 'env'],
    ['an env that is no text', 'RetrieveSecret', { name, env: false }, 'env'],
    ['an unknown field', 'RetrieveSecret', { name, extra: CANARY }, 'extra'],
    ['a field of another operation', 'RetrieveSecret', { name, value: CANARY }, 'value'],
    ['an unknown field named constructor', 'RetrieveSecret', { name, constructor: CANARY }, 'constructor'],
    [
      'an unknown field named __proto__',
      'RetrieveSecret',
      `{"name":"a","__proto__":{"x":"${CANARY}"}}`,
      '__proto__',
    ],
    ['a body that is an array', 'RetrieveSecret', [{ name }], 'body'],
    ['a body that is a string', 'RetrieveSecret', `"${CANARY}"`, 'body'],
    ['a body that is null', 'RetrieveSecret', 'null', 'body'],
    ['a body that is cut short', 'RetrieveSecret', `{"name":"${CANARY}`, 'body'],
    ['a body that is no JSON', 'RetrieveSecret', CANARY, 'body'],
  ];

  it.each(cases)('%s', async (_title, operation, body, field) => {
    const before = store.calls.length;
    const answer = await call(`${operation}?workspace=otmoic`, body, { 'content-type': 'application/json' });
    const rule = answer.body?.data?.rule as string;
    expect(typeof rule).toBe('string');
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        code: 400,
        message: `${field}: ${rule}`,
        data: { reason: 'INVALID_REQUEST', requestId: 'r1', field, rule },
      },
    ]);
    expect(answer.text).not.toContain(CANARY);
    expect(store.calls.length).toBe(before);
  });

  it.each([
    ['none', 'ListSecret'],
    ['an empty one', 'ListSecret?workspace='],
    ['two', 'ListSecret?workspace=otmoic&workspace=otmoic'],
    ['a joined one', 'ListSecret?workspace=otmoic,other'],
    ['one with a slash', 'ListSecret?workspace=a%2Fb'],
    ['one with a leading dot', 'ListSecret?workspace=..'],
    ['one that is too long', `ListSecret?workspace=${'w'.repeat(64)}`],
    ['an array form', 'ListSecret?workspace[]=otmoic'],
    ['an object form', 'ListSecret?workspace[a]=otmoic'],
  ])('exactly one workspace is asked for: %s', async (_title, target) => {
    const answer = await call(target, {});
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    expect(answer.body.data.field).toMatch(/^workspace/);
  });

  it('an unknown query parameter is refused by name, since env in the query would silently mean prod', async () => {
    const answer = await call('ListSecret?workspace=otmoic&env=dev', {});
    expect([answer.status, answer.body.data.field]).toEqual([400, 'env']);
  });

  it.each(['__proto__=x', 'constructor=1', 'hasOwnProperty=1'])(
    'so is one that reaches for the prototype: %s',
    async (query) => {
      const answer = await call(`ListSecret?workspace=otmoic&${query}`, {});
      expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    },
  );

  it.each([
    '{"__proto__":{"name":"k"}}',
    '{"name":"k","__proto__":{"env":"dev"}}',
    '{"name":"k","__proto__":null}',
    '{"name":"k","constructor":{"prototype":{"env":"dev"}}}',
    '{"name":"k","toString":"x"}',
    '{"name":{"__proto__":"k"}}',
  ])('a body that reaches for the prototype is refused, and gives nothing to others: %s', async (body) => {
    const answer = await call('RetrieveSecret?workspace=otmoic', body);
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    expect(['name' in {}, 'env' in {}]).toEqual([false, false]);
    expect((await call('RetrieveSecret?workspace=otmoic', {})).body.data).toMatchObject({ field: 'name' });
  });

  it.each([
    ['200,000 fields', `{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":1`).join()}}`],
    [
      'a field of 100,000 fields',
      `{"name":{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":1`).join()}}}`,
    ],
    ['200,000 levels of arrays', `{"name":${'['.repeat(200_000)}${']'.repeat(200_000)}}`],
    ['100,000 levels of objects', `{"name":"a","value":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`],
  ])('a body that would keep the validators busy, at once: %s', async (_title, body) => {
    const began = Date.now();
    const answer = await call('CreateSecret?workspace=otmoic', body, { 'content-type': 'application/json' });
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    expect(Date.now() - began).toBeLessThan(5000);
  });

  it('a body that is not UTF-8, whose value would not come back as it was sent', async () => {
    const parts = [Buffer.from('{"name":"badutf","value":"a'), Buffer.from([0xff, 0xfe]), Buffer.from('b"}')];
    const answer = await call('CreateSecret?workspace=otmoic', Buffer.concat(parts), {
      'content-type': 'application/json',
    });
    expect([answer.status, answer.body.data.field]).toEqual([400, 'body']);
    const utf16 = { 'content-type': 'application/json; charset=utf-16le' };
    const wide = Buffer.from('{"name":"k"}', 'utf16le') as unknown as string;
    expect((await call('RetrieveSecret?workspace=otmoic', wide, utf16)).status).toBe(400);
  });

  it('a JSON body that does not say that it is one', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream']) {
      const answer = await call('RetrieveSecret?workspace=otmoic', '{"name":"k"}', { 'content-type': type });
      expect([answer.status, answer.body.data.field]).toEqual([400, 'body']);
    }
  });

  it('a compressed body or one in another charset', async () => {
    for (const charset of ['iso-8859-1', 'utf', 'utf-88', 'xutf8']) {
      const headers = { 'content-type': `application/json; charset=${charset}` };
      expect((await call('RetrieveSecret?workspace=otmoic', '{"name":"k"}', headers)).status).toBe(400);
    }
    const gzip = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect((await call('RetrieveSecret?workspace=otmoic', 'xx', gzip)).status).toBe(400);
  });

  it('a body that carries no value is 413 much earlier', async () => {
    for (const target of ['RetrieveSecret?workspace=otmoic', 'permission/v1alpha1/access']) {
      const answer = await call(target, { name: 'x'.repeat(65_536) });
      expect([answer.status, answer.body.data.maxBytes]).toEqual([413, 65_536]);
    }
  });

  it('a request body over the limit is 413 and names the limit', async () => {
    const answer = await onOtmoic('CreateSecret', { name: 'k', value: 'x'.repeat(7 * MAX_VALUE_BYTES) });
    expect([answer.status, answer.body]).toEqual([
      413,
      {
        code: 413,
        message: 'The request body is larger than 3162112 bytes.',
        data: { reason: 'REQUEST_TOO_LARGE', requestId: 'r1', maxBytes: 3162112 },
      },
    ]);
  });
});
