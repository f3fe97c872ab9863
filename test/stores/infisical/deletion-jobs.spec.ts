import { StoreClient } from '../../support/store-client';
import { SystemClock } from '../../../src/time/clock';
import { createInfisicalStores } from '../../../src/stores/infisical/create-infisical-secret-store';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';

describe.each(['v3', 'fork', 'v4'] as const)('The deletion jobs in Infisical (%s)', (apiVersion) => {
  let fake: FakeInfisical;
  beforeEach(async () => (fake = await FakeInfisical.start({ apiVersion })));
  afterEach(() => fake.close());
  const open = () => {
    const { clientId, clientSecret } = fake.identity;
    const options = { url: fake.url, clientId, clientSecret };
    const { store, deletionJobs } = createInfisicalStores(options, new SystemClock());
    return { store: new StoreClient(store), deletionJobs };
  };

  it('are secrets of one project of a fixed name, which is no workspace of anybody', async () => {
    const { store, deletionJobs } = open();
    await deletionJobs.create({ id: 'removal-1', text: '{"user":"alice"}' });
    await deletionJobs.create({ id: 'removal-2', text: '{"user":"bob"}' });
    expect(fake.world.projects.map(({ slug }) => slug)).toEqual(['osp-deletion-jobs']);
    const rows = fake
      .project('osp-deletion-jobs')
      ?.environments.map(({ slug, secrets }) => [slug, secrets.map(({ key }) => key)]);
    expect(Object.fromEntries(rows ?? [])).toEqual({
      test: [],
      dev: [],
      staging: [],
      prod: ['removal-1', 'removal-2'],
    });
    for (const user of ['', 'alice', 'bob']) expect(await store.workspacesOf(user)).toEqual([]);
    await store.close();
  });

  it('tell a new process the organization, so that it can list the workspaces of the deleted user', async () => {
    const first = open();
    await first.store.create(
      { user: 'alice', workspace: 'ws', environment: 'prod' },
      { name: 'k', value: 'v' },
    );
    await first.deletionJobs.create({ id: 'removal-1', text: '{"user":"alice"}' });
    await first.store.close();
    const second = open();
    expect(await second.deletionJobs.list()).toHaveLength(1);
    expect(await second.store.workspacesOf('alice')).toHaveLength(1);
    await second.store.close();
  });
});
