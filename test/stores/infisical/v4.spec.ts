import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { outcome } from '../../conformance/secret-store.conformance';
import { failureAnswer } from '../../support/fake-infisical/fake-answer';
import { at, openStore, routesOf, rowsOf } from './opened-store';

/** What a server of July 2026 was recorded to do that those before it do not. */
describe('a server of v4', () => {
  it('tells the loser of two creates of one name that it is there, with the value of the other', async () => {
    const { fake, store, another } = await openStore({ apiVersion: 'v4' });
    await store.create(at(), { name: 'first', value: 'v' });
    const stores = [store, another(), another(), another()];
    const race = stores.map((one, n) => outcome(one.create(at(), { name: 'k', value: `v${n}` })));
    expect((await Promise.all(race)).sort()).toEqual([
      ...Array<string>(3).fill('SECRET_ALREADY_EXISTS'),
      'done',
    ]);
    expect(rowsOf(fake, at())).toHaveLength(2);
  });

  it.each([
    ['nobody has updated it since', 1, 'SECRET_ALREADY_EXISTS'],
    ['it was updated since, so that it may have been ours', 2, 'STORE_OUTCOME_UNKNOWN'],
  ])('a create that ended with 500 finds another value: %s', async (_, version, expected) => {
    const { fake, store } = await openStore({ apiVersion: 'v4' });
    await store.create(at(), { name: 'first', value: 'v' });
    const [location] =
      fake.project(projectSlug(at()))?.environments.filter(({ slug }) => slug === 'prod') ?? [];
    if (location === undefined) throw new Error('The environment is missing.');
    fake.world.addSecret(location, 'k', 'of another', version);
    fake.fail({
      method: 'POST',
      template: routesOf('v4').secret,
      fault: { kind: 'answer', ...failureAnswer(500, 'Create', 'Something went wrong') },
    });
    expect(await outcome(store.create(at(), { name: 'k', value: 'ours' }))).toBe(expected);
  });

  it.each(['duplicate', 'move', 'backfill-secret-references'])(
    'updates and deletes a secret with the name %s, which is a route to creates alone',
    async (name) => {
      const { fake, store } = await openStore({ apiVersion: 'v4' });
      await store.create(at(), { name: 'first', value: 'v' });
      const [location] =
        fake.project(projectSlug(at()))?.environments.filter(({ slug }) => slug === 'prod') ?? [];
      if (location === undefined) throw new Error('The environment is missing.');
      fake.world.addSecret(location, name, 'of an older server');
      await store.update(at(), { name, value: 'w' });
      expect((await store.retrieve(at(), name)).value).toBe('w');
      await store.delete(at(), name);
      expect(rowsOf(fake, at())).toEqual([['first', 'v']]);
    },
  );

  it('says of an environment that was deleted by hand what is to be done, and not to try again', async () => {
    const { fake, store, logged } = await openStore({ apiVersion: 'v4' });
    await store.create(at('ws', 'staging'), { name: 'k', value: 'v' });
    fake.world.deleteEnvironment(projectSlug(at()), 'staging', true);
    const create = store.create(at('ws', 'staging'), { name: 'l', value: 'v' });
    await expect(create).rejects.toMatchObject({
      reason: 'STORE_REFUSED',
      message: expect.stringMatching(/Permanently delete that environment first/) as string,
    });
    expect(await store.list(at('ws', 'staging'))).toEqual([]);
    expect(logged).toContainEqual({
      event: 'infisical_environment_slug_held',
      fields: {
        project: projectSlug(at()),
        environment: 'staging',
        advice: "restore this deleted environment in the project's settings, or delete it there for good",
      },
    });
    const said = expect.stringMatching(/Permanently delete that environment first/) as string;
    expect(logged).toContainEqual({
      event: 'infisical_call_failed',
      fields: expect.objectContaining({
        call: 'createEnvironment',
        reason: 'environmentHeld',
        said,
      }) as object,
    });
    fake.project(projectSlug(at()))?.deleted.clear();
    await store.create(at('ws', 'staging'), { name: 'l', value: 'v' });
  });
});
