import { recordings } from '../support/fake-infisical/recordings';
import { FakePredecessor } from '../support/fake-predecessor';

/** The recorded calls that give a machine identity a role in a project and take it away, in their order. */
const CALLS = [
  'add the no-access identity to the project as viewer (by machine identity)',
  'add it again',
  'list project identities',
  'remove the identity from the project',
];

describe('the fake of the predecessor', () => {
  it('answers about the roles of identities as the recorded fork does', async () => {
    const predecessor = await FakePredecessor.start();
    const { fake } = predecessor;
    const project = predecessor.addProject('notes-alice', predecessor.addPerson('alice@example.org'));
    const admin = fake.world.addIdentity('admin', 'secret');
    project.members.set(admin.id, 'admin');
    const bearer = fake.issueToken(admin);
    for (const title of CALLS) {
      const recorded = recordings('fork').find(({ name }) => name === title)!;
      const path = recorded.path
        .replace(/(?<=workspace\/)[^/]+/, project.id)
        .replace(/(?<=identity-memberships\/)[^/]+/, fake.identity.id);
      const response = await fetch(fake.url + path, {
        method: recorded.method,
        headers: {
          authorization: `Bearer ${bearer}`,
          ...(recorded.method === 'POST' && { 'content-type': 'application/json' }),
        },
        ...(recorded.method === 'POST' && { body: '{"role":"viewer"}' }),
      });
      const answer = (await response.json()) as Record<string, unknown>;
      const expected = recorded.answer as Record<string, unknown>;
      expect([title, response.status, answer['error']]).toEqual([title, recorded.status, expected['error']]);
      for (const field of Object.keys(expected).filter((key) => key !== 'statusCode'))
        expect([title, Object.keys(answer)]).toEqual([title, expect.arrayContaining([field])]);
    }
    await fake.close();
  });
});
