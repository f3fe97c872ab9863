import { SystemClock } from '../../../src/time/clock';
import { checkIdentity } from '../../../src/stores/infisical/setup/identity-check';
import { withAdministration } from '../../support/fake-infisical/fake-administration';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { routesOf } from './opened-store';

const PAGE: Fault = { kind: 'answer', status: 503, body: null, raw: '<html>' };

// v4 as its documents describe it.
describe.each(['v3', 'fork', 'v4'] as const)('the check of an identity (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  const removal = apiVersion === 'v4' ? '/api/v1/projects/{projectId}' : '/api/v1/workspace/{projectId}';
  let fake: FakeInfisical;
  const findings = async () => {
    const { clientId, clientSecret } = fake.identity;
    return (await checkIdentity({ url: fake.url }, { clientId, clientSecret }, new SystemClock())).findings;
  };
  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion });
  });
  afterEach(() => fake.close());

  it.each<[string, string, Fault]>([
    ['no project could be made', routes.projects, PAGE],
    ['the answer to the project was lost', routes.projects, { kind: 'reset', when: 'after' }],
    ['no environment could be made', routes.environments, PAGE],
    ['no secret could be made', routes.secret, PAGE],
    ['the answer to the secret was lost', routes.secret, { kind: 'reset', when: 'after' }],
  ])('leaves no project where %s', async (_, template, fault) => {
    fake.fail({ method: 'POST', template, fault });
    await findings();
    expect(fake.world.projects).toEqual([]);
  });

  it('names the project that it may have left, where it cannot see it any more', async () => {
    const template = routes.project;
    // The ping of v4 goes there too.
    fake.fail({ template, times: apiVersion === 'v4' ? 2 : 1, fault: { kind: 'delay', ms: 0 } });
    fake.fail({ template, times: 99, fault: PAGE });
    const found = await findings();
    const [left] = fake.world.projects;
    expect(found).toContain(
      `It cannot be seen whether the project of this check is left: look for ${left?.slug} and delete it.`,
    );
  });

  it('names the project that it could not delete, and goes on', async () => {
    fake.fail({ method: 'DELETE', template: removal, fault: { kind: 'reset', when: 'before' } });
    const [left, found] = [fake.world.projects, await findings()];
    expect(left).toHaveLength(1);
    expect(found).toEqual([
      `Its project could not be deleted, for Infisical did not answer; delete ${left[0]?.slug} by hand.`,
    ]);
  });

  it('tells what it found, though it cannot find out all', async () => {
    if (apiVersion === 'fork') return; // It has no such list.
    withAdministration(fake, apiVersion);
    fake.fail({ method: 'POST', template: routes.secret, fault: PAGE });
    const template = '/api/v1/organization-admin/projects';
    fake.fail({ method: 'GET', template, fault: { kind: 'reset', when: 'before' } });
    expect(await findings()).toEqual([
      expect.stringMatching(/^A secret could not be kept: /),
      `Infisical gave no answer to GET ${template} (connectionLost).`,
    ]);
  });
});
