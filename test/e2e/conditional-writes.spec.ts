import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const store = new MemorySecretStore();
let services: readonly [Service, Service];
let credentials: Record<string, string>;
beforeAll(async () => {
  const replica = () => startService({ clock, store, grantSource: exampleApps() });
  services = [await replica(), await replica()];
  credentials = {
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  };
});
afterAll(async () => {
  for (const service of services) await service.close();
});

const call = (
  operation: string,
  body: object,
  headers: Record<string, string> = {},
  replica = 0,
): Promise<Answer> =>
  httpCall(`${services[replica === 0 ? 0 : 1].url}/${operation}?workspace=otmoic`, {
    headers: { ...credentials, ...headers },
    body,
  });
const tagOf = ({ headers }: Answer): string => String(headers['etag']);
const retrieve = (name: string, replica = 0) => call('RetrieveSecret', { name }, {}, replica);

describe('conditional writes (RFC 9110, If-Match)', () => {
  it('an update and a delete with the ETag of the last read are carried out', async () => {
    await call('CreateSecret', { name: 'k', value: 'v1' });
    const read = tagOf(await retrieve('k'));
    expect(read).toMatch(/^"[\w-]{22}"$/);
    expect((await call('UpdateSecret', { name: 'k', value: 'v2' }, { 'if-match': read })).body).toEqual({
      code: 200,
      message: '',
      data: '',
    });
    const later = tagOf(await retrieve('k'));
    expect(later).not.toBe(read);
    expect((await call('DeleteSecret', { name: 'k' }, { 'if-match': later })).status).toBe(200);
  });

  it('with an older ETag they are 412 PRECONDITION_FAILED, and change nothing', async () => {
    await call('CreateSecret', { name: 'old', value: 'v1' });
    const read = tagOf(await retrieve('old'));
    await call('UpdateSecret', { name: 'old', value: 'v2' });
    for (const operation of ['UpdateSecret', 'DeleteSecret']) {
      const body = { name: 'old', ...(operation === 'UpdateSecret' && { value: 'lost' }) };
      const { status, body: answer } = await call(operation, body, {
        'if-match': read,
        'x-request-id': 'r1',
      });
      expect([status, answer]).toEqual([
        412,
        {
          code: 412,
          message: 'The secret has changed since it was read, so nothing was written; read it again.',
          data: { reason: 'PRECONDITION_FAILED', requestId: 'r1', name: 'old' },
        },
      ]);
    }
    expect((await retrieve('old')).body.data).toEqual({ name: 'old', value: 'v2', env: 'prod' });
  });

  it('two replicas give the same ETag, and each accepts what the other gave', async () => {
    await call('CreateSecret', { name: 'shared', value: 'v1' });
    const [one, other] = [tagOf(await retrieve('shared', 0)), tagOf(await retrieve('shared', 1))];
    expect(one).toBe(other);
    const update = { name: 'shared', value: 'v2' };
    expect((await call('UpdateSecret', update, { 'if-match': one }, 1)).status).toBe(200);
    expect((await call('UpdateSecret', update, { 'if-match': one }, 0)).status).toBe(412);
  });

  it.each([
    ['*', 200],
    ['"a", TAG', 200],
    ['TAG', 200],
    ['W/TAG', 412],
    ['"a"', 412],
    ['', 400],
    ['TAG,', 400],
    ['unquoted', 400],
    ['"a" "b"', 400],
    [Array.from({ length: 17 }, () => '"a"').join(), 400],
  ])('If-Match: %s is %i', async (ifMatch, status) => {
    await call('CreateSecret', { name: 'forms', value: 'v' });
    const tag = tagOf(await retrieve('forms'));
    const headers = { 'if-match': ifMatch.replace('TAG', tag) };
    expect((await call('UpdateSecret', { name: 'forms', value: 'v' }, headers)).status).toBe(status);
  });

  it('a secret that does not exist is 404 whatever the If-Match', async () => {
    for (const ifMatch of ['*', '"a"'])
      expect((await call('DeleteSecret', { name: 'missing' }, { 'if-match': ifMatch })).status).toBe(404);
  });

  it('an ETag is of one place: the same value under another name, environment or workspace has another', async () => {
    const seen = new Set<string>();
    for (const [name, env] of [
      ['one', 'dev'],
      ['two', 'dev'],
      ['one', 'test'],
    ] as const) {
      await call('CreateSecret', { name, value: 'same', env });
      seen.add(tagOf(await call('RetrieveSecret', { name, env })));
    }
    expect(seen.size).toBe(3);
  });

  it('a list has an ETag that changes with every value in it, and not between two reads', async () => {
    await call('CreateSecret', { name: 'l1', value: 'v'.repeat(300_000), env: 'staging' });
    await call('CreateSecret', { name: 'l2', value: 'v', env: 'staging' });
    const list = () => call('ListSecret', { env: 'staging' });
    const before = tagOf(await list());
    expect(tagOf(await list())).toBe(before);
    await call('UpdateSecret', { name: 'l2', value: 'w', env: 'staging' });
    expect(tagOf(await list())).not.toBe(before);
  });

  it('writes have no ETag, so that an app that may write but not read cannot test guesses of a value', async () => {
    for (const operation of ['CreateSecret', 'UpdateSecret'])
      expect((await call(operation, { name: 'guess', value: 'v' })).headers['etag']).toBeUndefined();
  });
});
