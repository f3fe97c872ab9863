import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { recorded } from '../../support/fake-infisical/recordings';
import { deletedBetween, replay, replayable } from './replay';
import { shapeDifferences } from './shape-differences';

/** v4 was not asked for the very byte. */
const BODY_TOO_LARGE = {
  v3: 'body limit: request body of 1048577 bytes',
  fork: 'body limit: request body of 1048577 bytes',
  v4: 'body of 1.2 MB',
};

describe.each(['v3', 'fork', 'v4'] as const)('the fake Infisical (%s)', (apiVersion) => {
  let fake: FakeInfisical;
  beforeAll(async () => {
    fake = await FakeInfisical.start({ apiVersion, rateLimits: true });
  });
  afterAll(() => fake.close());

  it('answers every recorded request that the adapter can make with the same status and shape', async () => {
    const requests = replayable(apiVersion);
    const differences: unknown[] = [];
    let last = -1;
    for (const request of requests) {
      const { call } = request;
      const { at, name, method, status, answer, limit } = request.entry;
      for (const project of deletedBetween(apiVersion, last, at)) fake.world.deleteProject(project);
      last = at;
      const got = await replay(fake, apiVersion, request);
      const found = [
        ...(got.status === status ? [] : [`status ${status} became ${got.status}`]),
        ...(got.limit === (limit === undefined ? null : String(limit))
          ? []
          : [`limit ${limit} became ${got.limit}`]),
        ...shapeDifferences(answer, got.answer),
        ...(method === 'DELETE' || call === 'retrieveSecret' || storedIn(got.answer) === storedIn(answer)
          ? []
          : ['another value was stored']),
      ];
      if (found.length > 0) differences.push({ at, name, found });
    }
    expect(differences).toEqual([]);
    expect(requests.length).toBeGreaterThan(apiVersion === 'v4' ? 100 : 200);
  });

  it('takes bodies up to the recorded limit', async () => {
    const { id } = fake.world.addProject('bodies', 'bodies', fake.identity);
    const { projectIdField, routes } = API_VERSIONS[apiVersion];
    const post = (bytes: number) => {
      const frame = JSON.stringify({ [projectIdField]: id, environment: 'dev', secretValue: '' });
      const body = frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`);
      return fetch(`${fake.url}${routes.listSecrets.path}/B${bytes}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${fake.issueToken()}` },
        body,
      });
    };
    expect((await post(1_048_576)).status).toBe(200);
    const refused = await post(1_048_577);
    const refusal = recorded(apiVersion, BODY_TOO_LARGE[apiVersion]);
    expect(refused.status).toBe(refusal.status);
    expect(shapeDifferences(refusal.answer, await refused.json())).toEqual([]);
  });

  // Without limits where one hosts it oneself, and with atomic creates (v4.spec.ts).
  if (apiVersion === 'v4') return;

  it('limits a route per address as recorded', async () => {
    const { id } = fake.world.addProject('limits', 'limits', fake.identity);
    const ask = () =>
      fetch(`${fake.url}/api/v3/secrets/raw?workspaceId=${id}&environment=dev`, {
        headers: { authorization: `Bearer ${fake.issueToken()}` },
      });
    const refusal = recorded(apiVersion, 'rate limit: other secret name, same route, same address');
    const allowed = Number(recorded(apiVersion, 'list ok').limit);
    for (let i = 0; i < allowed; i++) expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(shapeDifferences(refusal.answer, await refused.json())).toEqual([]);
  });

  it('stores a name several times when creates of it overlap, and deletes all of them at once', async () => {
    const { id } = fake.world.addProject('races', 'races', fake.identity);
    const send = (method: string, value?: string) =>
      fetch(`${fake.url}/api/v3/secrets/raw/RACE`, {
        method,
        headers: {
          'content-type': 'application/json',
          'x-forwarded-for': '10.1.1.1',
          authorization: `Bearer ${fake.issueToken()}`,
        },
        body: JSON.stringify({ workspaceId: id, environment: 'dev', secretValue: value }),
      });
    // So that all have a connection, and none is through before the others come.
    await Promise.all(Array.from({ length: 10 }, () => send('PATCH', 'missing')));
    const created = await Promise.all(Array.from({ length: 10 }, (_, i) => send('POST', `v${i}`)));
    const stored = fake.project('races')?.environments.find(({ slug }) => slug === 'dev')?.secrets ?? [];
    expect(created.filter(({ status }) => status === 200)).toHaveLength(stored.length);
    expect(stored.length).toBeGreaterThan(1);
    expect((await send('PATCH', 'patched')).status).toBe(200);
    expect(stored.filter(({ value }) => value === 'patched')).toHaveLength(1);
    expect((await send('DELETE')).status).toBe(200);
    expect(stored).toEqual([]);
  });
});

/** What a write says that it stored, unless the recording was cut: values are trimmed as they were there. */
function storedIn(answer: unknown): string | undefined {
  const value = (answer as { secret?: { secretValue?: string } }).secret?.secretValue;
  return value === undefined || value.length >= 280 ? undefined : value.toWellFormed();
}
