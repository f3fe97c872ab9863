import { DirectoryGrantSource } from '../../src/grant-sources/directory/directory.grant-source';
import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { EXAMPLE_APPS, exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { type Answer, httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { type Service, startService } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const NOTES = {
  app: 'notes',
  user: 'alice',
  appKey: 'bytetrade_notes_1',
  appSecret: '0'.repeat(16),
  ops: ['RetrieveSecret?workspace=desk', 'ListSecret', 'ListSecrets?workspace=desk'],
};
const MAIL = { ...NOTES, app: 'mail', appKey: 'bytetrade_mail_1', ops: ['RetrieveSecret?workspace=desk'] };

/** Fails every call, so that whoever asks the store does not get an answer. */
class UntouchableStore extends MemorySecretStore {
  override failure = new Error('the store was asked');
}

describe('what an app asks about its grants', () => {
  const folder = new GrantsFolder();
  const store = new UntouchableStore();
  let service: Service;
  beforeAll(async () => {
    folder.install('notes-of-alice', NOTES);
    folder.install('mail-of-alice', MAIL);
    const grantSource = await DirectoryGrantSource.open({ dir: folder.dir, log: () => undefined });
    service = await startService({ clock, store, grantSource });
  });
  afterAll(async () => {
    await service.close();
    await service.adapters.grantSource?.close();
    folder.dispose();
  });
  afterEach(() => expect(store.calls).toEqual([]));

  const credentials = async (app: string, ops: readonly string[] = []) => ({
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken(app, 'alice', ops, clock.nowMs()),
  });
  const explain = async (operation: unknown, workspace: unknown, ops?: readonly string[]): Promise<Answer> =>
    httpCall(`${service.url}/explain`, {
      headers: await credentials('notes', ops),
      body: { operation, workspace },
    });
  const ofUser = async (query: string, user = 'alice'): Promise<Answer> =>
    httpCall(`${service.url}/admin/explain/${query}`, {
      method: 'GET',
      headers: { 'x-authorization': await userToken(user, clock.nowMs()) },
    });
  const source = 'notes-of-alice/OlaresManifest.yaml';

  it('is answered with the source and the line that allow an operation', async () => {
    const answer = await explain('RetrieveSecret', 'desk', ['RetrieveSecret?workspace=desk']);
    expect(answer.body).toEqual({
      code: 200,
      message: '',
      data: {
        app: 'notes',
        user: 'alice',
        operation: 'RetrieveSecret',
        workspace: 'desk',
        allowed: true,
        decidedBy: 'grant',
        message: 'App notes states RetrieveSecret?workspace=desk.',
        statedAt: [{ source, line: 10 }],
      },
    });
    const bare = await explain('ListSecret', 'notes', ['ListSecret?workspace=notes']);
    expect(bare.body.data).toMatchObject({ allowed: true, statedAt: [{ source, line: 11 }] });
  });

  it('is answered with the YAML that would grant it, and with the lines that grant nothing', async () => {
    const { data } = (await explain('ListSecret', 'desk')).body;
    expect(data).toMatchObject({
      allowed: false,
      decidedBy: 'no_grant',
      statedAt: [],
      hints: [{ source, line: 12, reason: expect.stringContaining('"ListSecrets?workspace=desk"') }],
    });
    // What the answer says to add is what grants it.
    const manifest = `metadata:\n  name: notes\n${data.yaml as string}`;
    folder.replace('notes-of-alice/OlaresManifest.yaml', manifest);
    try {
      const other = await DirectoryGrantSource.open({ dir: folder.dir, log: () => undefined });
      expect(other.find('alice', 'notes')?.grants).toEqual(new Set(['ListSecret?workspace=desk']));
      await other.close();
    } finally {
      folder.install('notes-of-alice', NOTES);
    }
  });

  it('is answered that the access token was not issued for it', async () => {
    const { data } = (await explain('RetrieveSecret', 'desk', ['ListSecret?workspace=notes'])).body;
    expect(data).toMatchObject({
      allowed: false,
      decidedBy: 'access_token',
      message: expect.stringContaining('perm.ops'),
      statedAt: [{ source, line: 10 }],
    });
    expect(data).not.toHaveProperty('yaml');
  });

  it('says what the call itself is answered, for each operation', async () => {
    const body = { name: 'k', value: 'v' };
    for (const operation of SECRET_OPERATIONS) {
      const call = await httpCall(`${service.url}/${operation}?workspace=elsewhere`, {
        headers: await credentials('notes', NOTES.ops),
        body: operation === 'ListSecret' ? {} : /Create|Update/.test(operation) ? body : { name: 'k' },
      });
      expect(call.status).toBe(403);
      const { data } = (await explain(operation, 'elsewhere')).body;
      expect([data.allowed, data.message]).toEqual([false, call.body.message]);
      expect(data.yaml).toContain(`- ${operation}?workspace=elsewhere\n`);
    }
  });

  it.each([
    ['an operation that is none', { operation: 'All', workspace: 'desk' }, 'operation'],
    ['no operation', { workspace: 'desk' }, 'operation'],
    ['no workspace', { operation: 'ListSecret' }, 'workspace'],
    ['a broken workspace', { operation: 'ListSecret', workspace: '../x' }, 'workspace'],
    ['another app', { operation: 'ListSecret', workspace: 'desk', app: 'mail' }, 'app'],
    ['a ProxyRequest', { appkey: 'k', op: 'explain' }, 'appkey'],
  ])('is refused with %s', async (_, body, field) => {
    const headers = await credentials('notes');
    const answer = await httpCall(`${service.url}/explain`, { headers, body });
    expect([answer.status, answer.body.data.field]).toEqual([400, field]);
  });

  it("needs the app's own credentials, as the operations do", async () => {
    const { 'x-authorization': user, 'x-access-token': access } = await credentials('notes');
    const other = await userToken('bob', clock.nowMs());
    const body = { operation: 'ListSecret', workspace: 'desk' };
    for (const [headers, status] of [
      [{}, 401],
      [{ 'x-authorization': user }, 401],
      [{ 'x-access-token': access }, 401],
      [{ 'x-authorization': other, 'x-access-token': access }, 403],
      [{ 'x-bfl-user': 'alice', 'x-authorization': user }, 401],
    ] as const)
      expect((await httpCall(`${service.url}/explain`, { headers, body })).status).toBe(status);
    const method = 'GET';
    expect((await httpCall(`${service.url}/explain`, { method, headers: { 'x-authorization': user } })).status).toBe(404); // prettier-ignore
  });

  it('is told to the user of the app, who also reads with which apps it is shared', async () => {
    expect((await ofUser('notes?operation=RetrieveSecret&workspace=desk')).body.data).toMatchObject({
      allowed: true,
      decidedBy: 'grant',
      statedAt: [{ source, line: 10 }],
      sharedWith: ['mail'],
    });
    expect((await ofUser('notes?operation=DeleteSecret&workspace=desk')).body.data).toMatchObject({
      allowed: false,
      decidedBy: 'no_grant',
      yaml: expect.stringContaining('DeleteSecret?workspace=desk'),
    });
    expect((await ofUser('notes?operation=DeleteSecret&workspace=desk', 'bob')).body.data).toMatchObject({
      decidedBy: 'no_manifest',
      hints: [],
      sharedWith: [],
    });
    expect((await ofUser('notes')).body.data).toHaveLength(2);
  });

  it.each([
    'notes?operation=ListSecret',
    'notes?workspace=desk',
    'notes?operation=All&workspace=desk',
    'notes?operation=ListSecret&workspace=desk&workspace=desk',
    'notes?operation=ListSecret&workspace=desk&more=1',
    'no%20tes?operation=ListSecret&workspace=desk',
  ])('is refused to the user with the query of %s', async (query) => {
    const answer = await ofUser(query);
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
  });
});

describe('what an app asks about its grants, too', () => {
  const store = new UntouchableStore();
  let service: Service;
  afterEach(() => service.close());
  const explain = async (app: typeof OTMOICLP, workspace = 'otmoic') =>
    httpCall(`${service.url}/explain`, {
      headers: {
        'x-authorization': await userToken(app.user, clock.nowMs()),
        'x-access-token': await accessToken(app.app, app.user, app.ops, clock.nowMs()),
      },
      body: { operation: 'RetrieveSecret', workspace },
    });

  it('does not name the app that holds the workspace, where WORKSPACE_SHARING=deny', async () => {
    service = await startService({ clock, store, grantSource: exampleApps() }, { workspaceSharing: 'deny' });
    const refused = await explain(READER);
    expect(refused.body.data).toMatchObject({ allowed: false, decidedBy: 'other_app' });
    expect(refused.text).not.toContain('otmoiclp');
  });

  it('takes from the rate limit of reads', async () => {
    const time = new FixedMonotonicTime();
    const rates = { app: { read: { perSecond: 0.5, burst: 2 } }, user: {} };
    const limits = { rates, maxInFlight: 500 };
    service = await startService({ clock, time, store, grantSource: exampleApps() }, { limits });
    const answers = [];
    for (let at = 0; at < 4; at += 1) answers.push(await explain(OTMOICLP));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429, 429]);
    expect(answers[3]?.headers['retry-after']).toBe('2');
  });

  it("has the predecessor's form with RESPONSE_STYLE=sidecar", async () => {
    const grantSource = exampleApps();
    service = await startService({ clock, store, grantSource }, { responseStyle: 'sidecar' });
    expect((await explain(OTMOICLP)).body).toMatchObject({ code: 0, data: { allowed: true } });
    const refused = await explain(OTMOICLP, '../x');
    expect([refused.status, refused.body.code]).toEqual([200, 400]);
  });

  it('is not answered while the grants are not known', async () => {
    const grantSource = exampleApps();
    service = await startService({ clock, store, grantSource });
    grantSource.setReady(false);
    const answer = await explain(OTMOICLP);
    expect([answer.status, answer.body.data.reason]).toEqual([503, 'GRANTS_UNAVAILABLE']);
    grantSource.setReady(true);
    grantSource.set(EXAMPLE_APPS.slice(1));
    expect((await explain(OTMOICLP)).body.data).toMatchObject({ decidedBy: 'no_manifest' });
  });
});
