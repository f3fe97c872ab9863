import type { StoreClient } from '../../support/store-client';
import { randomUUID } from 'node:crypto';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { outcome } from '../../conformance/secret-store.conformance';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, routesOf, type Opened } from './opened-store';

const OTHER =
  'INFISICAL_ORGANIZATION_ID is not the organization of the machine identity: correct it (infisical.organizationId in the chart), or remove it.';
const IDENTITY = '/api/v1/identities/{identityId}';
const PROJECTS_OF = '/api/v2/organizations/{orgId}/workspaces';
const SECRET = { name: 'k', value: 'v' };
const messageOf = (pinged: Promise<void>) =>
  pinged.then(
    () => 'ready',
    (error: unknown) => (error instanceof Error ? error.message : ''),
  );

describe.each(['v3', 'fork', 'v4'] as const)('INFISICAL_ORGANIZATION_ID (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  const removal = apiVersion === 'v4' ? '/api/v1/projects/{projectId}' : '/api/v1/workspace/{projectId}';
  const asked = apiVersion === 'fork' ? PROJECTS_OF : IDENTITY;
  let clock: FixedClock;
  let opened: Opened;
  beforeEach(async () => {
    clock = new FixedClock();
    opened = await openStore({ apiVersion }, {}, clock);
  });

  const withSetting = (organizationId: string): StoreClient => opened.another({ organizationId });
  const events = (event: string) => opened.logged.filter((line) => line.event === event);
  const calls = (store: StoreClient) => [
    store.create(at(), SECRET),
    store.retrieve(at(), 'k'),
    store.update(at(), SECRET),
    store.delete(at(), 'k'),
    store.list(at()),
    store.workspacesOf('alice'),
  ];
  /** A role that may create projects and not see the identities: the server has no way left to tell. */
  const hideOrganization = (status = 403, error = 'PermissionDenied') => {
    const body = { statusCode: status, error, message: 'You are not allowed to read on identity' };
    opened.fake.fail({
      method: 'GET',
      template: IDENTITY,
      times: 99,
      fault: { kind: 'answer', status, body },
    });
  };

  it('that is not that of the machine identity makes every call 503 and readiness name it, and makes no project', async () => {
    const wrong = withSetting(randomUUID());
    expect(await messageOf(wrong.ping())).toBe(OTHER);
    expect(new Set(await Promise.all(calls(wrong).map(outcome)))).toEqual(new Set(['STORE_UNAVAILABLE']));
    expect(opened.fake.count('POST', routes.projects)).toBe(0);
    expect(opened.fake.world.projects).toEqual([]);
  });

  it('is checked before the first call too, where nobody asked for readiness', async () => {
    const wrong = withSetting(randomUUID());
    expect(await outcome(wrong.create(at(), SECRET))).toBe('STORE_UNAVAILABLE');
    expect(opened.fake.count('POST', routes.projects)).toBe(0);
  });

  it('is told as wrong once, without an id, and the server is asked once in five seconds', async () => {
    const wrong = withSetting(randomUUID());
    for (let second = 0; second < 20; second++) {
      await Promise.all([...calls(wrong).map(outcome), messageOf(wrong.ping())]);
      clock.advance(1_000);
    }
    expect(events('infisical_organization_mismatch')).toEqual([
      { event: 'infisical_organization_mismatch', fields: { advice: OTHER } },
    ]);
    expect(opened.fake.calls.filter(({ template, target }) => template === asked && !target.includes('00000000-0000'))).toHaveLength(4); // prettier-ignore
    expect(JSON.stringify(opened.logged)).not.toContain(opened.fake.world.organizationId);
  });

  it('hides the secrets that are there, until the server is one of that organization', async () => {
    const { fake, store } = opened;
    await store.create(at(), SECRET);
    const elsewhere = randomUUID();
    const wrong = withSetting(elsewhere);
    expect(await outcome(wrong.list(at()))).toBe('STORE_UNAVAILABLE');
    fake.world.organizationId = elsewhere;
    clock.advance(5_000);
    expect(await messageOf(wrong.ping())).toBe('ready');
    expect(await wrong.list(at())).toEqual([SECRET]);
    expect(events('infisical_organization_verified')).toHaveLength(1);
  });

  it('is checked anew after another login', async () => {
    const { fake } = opened;
    const right = withSetting(fake.world.organizationId);
    await right.create(at(), SECRET);
    fake.world.organizationId = randomUUID();
    fake.killTokens('unknown');
    clock.advance(5_000);
    await messageOf(right.ping());
    clock.advance(5_000);
    expect(await messageOf(right.ping())).toBe(OTHER);
  });

  it('that is right costs one call for each login, and nothing is logged', async () => {
    const { fake } = opened;
    const right = withSetting(fake.world.organizationId);
    for (let i = 0; i < 5; i++) {
      expect(await messageOf(right.ping())).toBe('ready');
      await right.create(at(`w${i}`), SECRET);
      clock.advance(60_000);
    }
    expect(fake.calls.filter(({ template, target }) => template === asked && !target.includes('00000000-0000'))).toHaveLength(1); // prettier-ignore
    expect([events('infisical_organization_mismatch'), right.problems()]).toEqual([[], []]);
  });

  it('does not hold up a server that fails over the question', async () => {
    const { fake } = opened;
    const body = { statusCode: 500, error: 'FindByOrgId', message: 'Something went wrong' };
    fake.fail({ method: 'GET', template: asked, times: 99, fault: { kind: 'answer', status: 500, body } });
    await withSetting(fake.world.organizationId).create(at(), SECRET);
    expect(fake.world.projects).toHaveLength(1);
  });

  if (apiVersion !== 'fork') {
    it.each([
      [403, 'PermissionDenied'],
      [404, 'NotFound'],
    ])(
      'that cannot be compared (%d %s) is a problem in readiness, and the first project that is made elsewhere is taken back',
      async (status, error) => {
        hideOrganization(status, error);
        const wrong = withSetting(randomUUID());
        expect(await messageOf(wrong.ping())).toBe('ready');
        expect(wrong.problems().join()).toContain('INFISICAL_ORGANIZATION_ID is compared with its projects');
        expect(events('infisical_organization_unknown')).toHaveLength(1);
        expect(await outcome(wrong.create(at(), SECRET))).toBe('STORE_UNAVAILABLE');
        expect(opened.fake.world.projects).toEqual([]);
        expect(events('infisical_organization_mismatch')).toHaveLength(1);
        for (let i = 0; i < 3; i++) {
          clock.advance(5_000);
          expect(await messageOf(wrong.ping())).toBe(OTHER);
          expect(await outcome(wrong.create(at(), SECRET))).toBe('STORE_UNAVAILABLE');
        }
        expect(opened.fake.count('POST', routes.projects)).toBe(1);
        expect(events('infisical_organization_mismatch')).toHaveLength(1);
      },
    );

    it('that cannot be compared is none any more once a project showed that it is right', async () => {
      hideOrganization();
      const right = withSetting(opened.fake.world.organizationId);
      await right.create(at(), SECRET);
      expect([await messageOf(right.ping()), right.problems()]).toEqual(['ready', []]);
    });

    it('that cannot be compared names the project that could not be taken back', async () => {
      hideOrganization();
      opened.fake.fail({
        method: 'DELETE',
        template: removal,
        times: 9,
        fault: { kind: 'reset', when: 'before' },
      });
      expect(await outcome(withSetting(randomUUID()).create(at(), SECRET))).toBe('STORE_UNAVAILABLE');
      const [left] = events('infisical_project_left_behind');
      expect(left?.fields).toMatchObject({ project: projectSlug(at()) });
    });
  }

  describe('and what is mistaken for it', () => {
    const other = (clientId: string, clientSecret: string) => opened.another({ clientId, clientSecret });

    it('a client id that this server does not know asks whether it is the right Infisical', async () => {
      const { clientSecret } = opened.fake.identity;
      const said = await messageOf(other('nobody', clientSecret).ping());
      expect(said).toContain('the Infisical at INFISICAL_URL?');
      expect(said).toContain(
        apiVersion === 'v3' ? 'does not know the client id' : 'the client id or the client secret',
      );
    });

    it('an identity that may not create projects is told by its role, in the log once and among the problems', async () => {
      const weak = opened.fake.world.addIdentity('weak', 'weak', false);
      const store = other('weak', 'weak');
      for (let i = 0; i < 3; i++) expect(await outcome(store.create(at(), SECRET))).toBe('STORE_UNAVAILABLE');
      expect(events('infisical_project_refused')).toHaveLength(1);
      expect(store.problems().join()).toMatch(/new project.*organization role member/);
      Object.assign(weak, { mayCreateProjects: true });
      await store.create(at(), SECRET);
      expect(store.problems()).toEqual([]);
    });
  });
});

describe('what answers at INFISICAL_URL', () => {
  it.each([
    [200, '<html>a page</html>'],
    [404, '<html>Not Found</html>'],
    [404, '{"detail":"Not Found"}'],
  ])('and is not Infisical is told as such (%d %s), in readiness and in the log', async (status, raw) => {
    const { fake, another, logged } = await openStore({ apiVersion: 'v3' });
    fake.fail({ times: 99, fault: { kind: 'answer', status, body: null, raw } });
    const sentence = `What answers at INFISICAL_URL does not answer as Infisical does (status ${status}); is the address right?`;
    expect(await messageOf(another({ apiVersion: undefined }).ping())).toBe(sentence);
    expect(logged).toContainEqual({
      event: 'infisical_ping_failed',
      fields: expect.objectContaining({ status, advice: sentence }) as object,
    });
  });
});
