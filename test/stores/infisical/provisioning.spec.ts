import { ENVIRONMENTS } from '../../../src/secrets/secret';
import { projectDisplayName, projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { outcome } from '../../conformance/secret-store.conformance';
import { FixedClock } from '../../support/fixed-clock';
import { at, callsOf, openStore, ROUTES, routesOf, rowsOf, type Opened } from './opened-store';

const environmentsOf = ({ fake }: Opened, slug: string) =>
  fake
    .project(slug)
    ?.environments.map((environment) => environment.slug)
    .sort();

// v4 as a server of July 2026 answers.
describe.each(['v3', 'fork', 'v4'] as const)('the projects of the Infisical store (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  let opened: Opened;
  beforeEach(async () => {
    opened = await openStore({ apiVersion });
  });

  it('50 parallel first creates make one project, four environments and 50 secrets', async () => {
    const { fake, store } = opened;
    const creates = Array.from({ length: 50 }, (_, i) =>
      store.create(at('new', ENVIRONMENTS[i % 4]), { name: `k${i}`, value: `v${i}` }),
    );
    await Promise.all(creates);
    expect(fake.world.projects).toHaveLength(1);
    expect(environmentsOf(opened, projectSlug(at('new')))).toEqual([...ENVIRONMENTS].sort());
    const rows = ENVIRONMENTS.flatMap((environment) => rowsOf(fake, at('new', environment)));
    expect(new Map(rows)).toEqual(new Map(Array.from({ length: 50 }, (_, i) => [`k${i}`, `v${i}`])));
    expect(rows).toHaveLength(50);
    expect(fake.count('POST', routes.login)).toBe(1);
    expect(fake.count('POST', routes.projects)).toBe(1);
    expect(fake.count('POST', routes.environments)).toBe(1);
  });

  it('the first secret of a new project is written alone', async () => {
    const { fake, store } = opened;
    fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'delay', ms: 50 } });
    const creates = Promise.all(
      ENVIRONMENTS.map((environment) => store.create(at('new', environment), { name: 'k', value: 'v' })),
    );
    const writes = () =>
      fake.calls.filter(({ method, template }) => method === 'POST' && template === routes.secret);
    // As long as the first has no answer, nothing of the other three environments is sent.
    while (writes()[0]?.status !== 200) {
      expect(writes().length).toBeLessThanOrEqual(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await creates;
    expect(writes()).toHaveLength(4);
  });

  it('20 instances that race for one new workspace, and have yet to find out the server, use one project', async () => {
    const { fake, another } = opened;
    const instances = Array.from({ length: 20 }, () => another({ apiVersion: undefined }));
    await Promise.all(
      instances.map((instance, i) =>
        instance.create(at('raced', ENVIRONMENTS[i % 4]), { name: `k${i}`, value: `v${i}` }),
      ),
    );
    expect(fake.world.projects.map(({ slug }) => slug)).toEqual([projectSlug(at('raced'))]);
    expect(environmentsOf(opened, projectSlug(at('raced')))).toEqual([...ENVIRONMENTS].sort());
    const seen = await Promise.all(
      ENVIRONMENTS.map((environment) => another().list(at('raced', environment))),
    );
    expect(
      seen
        .flat()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(instances.map((_, i) => `k${i}`).sort());
  });

  it('a cold first write costs a login, a look, a create, an environment and the write', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    expect(callsOf(fake)).toEqual([
      `POST ${routes.login}`,
      `GET ${routes.project}`,
      `POST ${routes.projects}`,
      `POST ${routes.environments}`,
      `POST ${routes.secret}`,
    ]);
  });

  it('in steady state every operation is one call: no list before a write, no login, no project', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    callsOf(fake);
    const costs: Record<string, string[]> = {};
    await store.retrieve(at(), 'k');
    costs['retrieve'] = callsOf(fake);
    await store.list(at());
    costs['list'] = callsOf(fake);
    await store.update(at(), { name: 'k', value: 'w' });
    costs['update'] = callsOf(fake);
    await store.create(at(), { name: 'l', value: 'w' });
    costs['create'] = callsOf(fake);
    await store.delete(at(), 'k');
    costs['delete'] = callsOf(fake);
    await outcome(store.retrieve(at('never written'), 'k'));
    costs['never written'] = callsOf(fake);
    expect(costs).toEqual({
      retrieve: [`GET ${routes.list}`],
      list: [`GET ${routes.list}`],
      update: [`PATCH ${routes.secret}`],
      create: [`POST ${routes.secret}`],
      delete: [`DELETE ${routes.secret}`],
      'never written': [`GET ${routes.project}`],
    });
  });

  it('an update without a list in the last ten minutes lists duplicate rows first', async () => {
    const clock = new FixedClock();
    const { fake, store } = await openStore({ apiVersion }, {}, clock);
    await store.create(at(), { name: 'k', value: 'v' });
    const update = async () => {
      callsOf(fake);
      await store.update(at(), { name: 'k', value: 'w' });
      return callsOf(fake);
    };
    expect(await update()).toEqual([`GET ${routes.list}`, `PATCH ${routes.secret}`]);
    expect(await update()).toEqual([`PATCH ${routes.secret}`]);
    clock.advance(599_000);
    expect(await update()).toEqual([`PATCH ${routes.secret}`]);
    clock.advance(1_000);
    expect(await update()).toEqual([`GET ${routes.list}`, `PATCH ${routes.secret}`]);
  });

  it('sends every flag with every list', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    await store.list(at());
    const lists = fake.calls.filter(({ method, template }) => method === 'GET' && template === routes.list);
    for (const { target } of lists) {
      const flags = Object.fromEntries(new URL(target, 'http://x').searchParams);
      expect(flags).toEqual({
        [apiVersion === 'v4' ? 'projectId' : 'workspaceId']: fake.world.projects[0]?.id,
        environment: 'prod',
        secretPath: '/',
        expandSecretReferences: 'false',
        includeImports: 'false',
        include_imports: 'false',
        recursive: 'false',
        viewSecretValue: 'true',
      });
    }
    expect(lists).toHaveLength(1);
  });

  it('a project that was deleted by hand is not found on reads and made again by the next write', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    fake.world.deleteProject(projectSlug(at()));
    expect(await outcome(store.retrieve(at(), 'k'))).toBe('SECRET_NOT_FOUND');
    expect(await store.list(at())).toEqual([]);
    expect(await outcome(store.update(at(), { name: 'k', value: 'w' }))).toBe('SECRET_NOT_FOUND');
    expect(fake.world.projects).toEqual([]);
    await store.create(at(), { name: 'k', value: 'again' });
    expect(await store.list(at())).toEqual([{ name: 'k', value: 'again' }]);
  });

  it('a write is the first to notice that its project was deleted by hand', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    fake.world.deleteProject(projectSlug(at()));
    await store.create(at(), { name: 'k', value: 'again' });
    expect(rowsOf(fake, at())).toEqual([['k', 'again']]);
    expect(environmentsOf(opened, projectSlug(at()))).toEqual([...ENVIRONMENTS].sort());
  });

  it('an environment that was deleted by hand is empty, and made again by the next write', async () => {
    const { fake, store } = opened;
    await store.create(at('ws', 'dev'), { name: 'k', value: 'v' });
    fake.world.deleteEnvironment(projectSlug(at()), 'dev');
    expect(await store.list(at('ws', 'dev'))).toEqual([]);
    expect(await outcome(store.delete(at('ws', 'dev'), 'k'))).toBe('SECRET_NOT_FOUND');
    await store.create(at('ws', 'dev'), { name: 'k', value: 'again' });
    expect(await store.list(at('ws', 'dev'))).toEqual([{ name: 'k', value: 'again' }]);
  });

  it('a project whose maker never came to add `test` gets it from the first write there', async () => {
    const { fake, store } = opened;
    fake.world.addProject(projectSlug(at()), 'half made', fake.identity);
    await store.create(at('ws', 'test'), { name: 'k', value: 'v' });
    expect(rowsOf(fake, at('ws', 'test'))).toEqual([['k', 'v']]);
  });

  it('a project of somebody else is unavailable, and the log tells the operator which and what to do', async () => {
    const { fake, store, logged } = opened;
    fake.world.addProject(projectSlug(at()), 'foreign', undefined);
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.create(at(), { name: 'k', value: 'v' }))).toBe('STORE_UNAVAILABLE');
    expect(logged).toContainEqual({
      event: 'infisical_project_foreign',
      fields: {
        project: projectSlug(at()),
        advice: 'add the machine identity to this project as admin, or delete the project',
      },
    });
  });

  it.each(['..', '.', ''])(
    'a project whose id is told as "%s" is no answer, and nothing is sent there',
    async (id) => {
      const { fake, store } = opened;
      const body = { id, slug: projectSlug(at()), environments: [] };
      for (const method of ['GET', 'POST'])
      fake.fail({ method, template: method === 'GET' ? routes.project : routes.projects, times: 9, fault: { kind: 'answer', status: 200, body } }); // prettier-ignore
      expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.create(at(), { name: 'k', value: 'v' }))).toBe('STORE_UNAVAILABLE');
      expect(
        fake.calls.filter(({ template }) => template === routes.secret || template === undefined),
      ).toEqual([]);
    },
  );

  it('an environment that a project has twice is served, and the log tells the operator where', async () => {
    const { fake, store, logged } = opened;
    const project = fake.world.addProject(projectSlug(at()), 'raced', fake.identity);
    for (let i = 0; i < 2; i++) fake.world.addEnvironment(project, 'test', 'Test');
    await store.create(at('ws', 'test'), { name: 'k', value: 'v' });
    expect(await store.list(at('ws', 'test'))).toEqual([{ name: 'k', value: 'v' }]);
    expect(logged.filter(({ event }) => event === 'infisical_environment_duplicated')).toEqual([
      {
        event: 'infisical_environment_duplicated',
        fields: {
          project: projectSlug(at()),
          environment: 'test',
          advice: 'compare the environments of this slug in the page, and delete all but one',
        },
      },
    ]);
  });

  it('no more projects are remembered than told, the least used forgotten first', async () => {
    const { fake, another } = opened;
    const small = another({ maxKnownProjects: 2 });
    for (const workspace of ['a', 'b', 'c']) await small.create(at(workspace), { name: 'k', value: 'v' });
    const looksFor = async (workspace: string) => {
      callsOf(fake);
      await small.list(at(workspace));
      return callsOf(fake).length - 1;
    };
    expect([await looksFor('c'), await looksFor('b'), await looksFor('a'), await looksFor('c')]).toEqual([
      0, 0, 1, 1,
    ]);
  });

  it('an identity that was thrown out of its project finds out by the next call', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    fake.project(projectSlug(at()))?.members.clear();
    expect(await outcome(store.retrieve(at(), 'k'))).toBe('STORE_UNAVAILABLE');
  });

  it('an identity without the right to make projects is unavailable, not forbidden', async () => {
    const { fake, another } = opened;
    fake.world.addIdentity('weak', 'weak', false);
    const weak = another({ clientId: 'weak', clientSecret: 'weak' });
    expect(await outcome(weak.create(at(), { name: 'k', value: 'v' }))).toBe('STORE_UNAVAILABLE');
  });

  it('when the answer to a project create is lost, the slug tells what became of it', async () => {
    const { fake, store } = opened;
    fake.fail({ method: 'POST', template: routes.projects, fault: { kind: 'reset', when: 'after' } });
    await store.create(at(), { name: 'k', value: 'v' });
    expect(fake.world.projects).toHaveLength(1);
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
  });

  it('when the answer to an environment create is lost, the project tells what became of it', async () => {
    const { fake, store } = opened;
    fake.fail({ method: 'POST', template: routes.environments, fault: { kind: 'reset', when: 'after' } });
    await store.create(at('ws', 'test'), { name: 'k', value: 'v' });
    expect(environmentsOf(opened, projectSlug(at()))).toEqual([...ENVIRONMENTS].sort());
  });
});

describe('the slug of a project', () => {
  it('is what every server takes', () => {
    for (const workspace of ['a', 'Ünïcode', 'x'.repeat(63)]) {
      expect(projectSlug({ user: 'alice', workspace })).toMatch(/^osp-[0-9a-v]{32}$/);
    }
  });

  it('never changes from version to version', () => {
    expect(projectSlug({ user: 'alice', workspace: 'ws' })).toBe('osp-g8ua1uieiq3f2v2lefpreprjvbsjanfo');
  });

  it('differs for pairs that join to the same text', () => {
    const pairs = [['a', 'b-c'], ['a-b', 'c'], ['1:a', 'b'], ['1', ':ab'], ['A', 'b-c'], ['', 'ab'], ['ab', '']]; // prettier-ignore
    expect(new Set(pairs.map(([user = '', workspace = '']) => projectSlug({ user, workspace }))).size).toBe(
      pairs.length,
    );
  });

  it('goes with a name that people can read and every server takes', () => {
    expect(projectDisplayName({ user: 'alice', workspace: 'ws' })).toBe('alice / ws');
    const long = projectDisplayName({ user: 'a', workspace: '🚀'.repeat(40) });
    expect(long.length).toBeLessThanOrEqual(64);
    expect(long.isWellFormed()).toBe(true);
  });
});

describe('a server with ten database connections', () => {
  it('is never sent more than four writes at once, however many workspaces are written', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' });
    fake.fail({ method: 'POST', template: ROUTES.secret, times: 100, fault: { kind: 'delay', ms: 30 } });
    const workspaces = Array.from({ length: 20 }, (_, i) => ({ ...at(), workspace: `w${i}` }));
    await Promise.all(workspaces.map((scope) => store.create(scope, { name: 'k', value: 'v' })));
    await Promise.all(workspaces.map((scope) => store.update(scope, { name: 'k', value: 'w' })));
    expect(fake.mostWritesAtOnce).toBeGreaterThan(1);
    expect(fake.mostWritesAtOnce).toBeLessThanOrEqual(4);
  });
});

describe('a plan that allows three environments', () => {
  it.each(['v3', 'v4'] as const)('refuses only what needs the fourth (%s)', async (apiVersion) => {
    const { fake, store } = await openStore({ apiVersion });
    const { environments } = routesOf(apiVersion);
    const body = {
      statusCode: 400,
      error: 'BadRequest',
      message: 'Failed to create environment due to plan',
    };
    fake.fail({
      method: 'POST',
      template: environments,
      times: 99,
      fault: { kind: 'answer', status: 400, body },
    });
    await store.create(at(), { name: 'k', value: 'v' });
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
    expect(await outcome(store.create(at('ws', 'test'), { name: 'k', value: 'v' }))).toBe('STORE_REFUSED');
  });
});

describe('an environment of the fork whose position another one took', () => {
  it('was rolled back, whatever its slug, so that it is asked for again', async () => {
    const { fake, store } = await openStore({ apiVersion: 'fork' });
    fake.world.addProject(projectSlug(at()), 'made meanwhile', fake.identity);
    const body = {
      statusCode: 500,
      code: '23505',
      error: 'Internal Server Error',
      message: 'COMMIT; - duplicate key value violates unique constraint "env_pos_composite_uniqe"',
    };
    fake.fail({
      method: 'POST',
      template: ROUTES.environments,
      fault: { kind: 'answer', status: 500, body },
    });
    await store.create(at('ws', 'test'), { name: 'k', value: 'v' });
    expect(fake.count('POST', ROUTES.environments)).toBe(2);
    expect(rowsOf(fake, at('ws', 'test'))).toEqual([['k', 'v']]);
  });
});
