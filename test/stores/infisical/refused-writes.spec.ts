import type { StoreClient } from '../../support/store-client';
import type { DomainError } from '../../../src/errors/domain-error';
import { leftAsItWas } from '../../../src/errors/store-errors';
import { refusalSentence } from '../../../src/stores/infisical/versions/refusal-sentence';
import { outcome } from '../../conformance/secret-store.conformance';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { at, openStore, routesOf, rowsOf } from './opened-store';

/** As upstream's source says it where a project demands names in upper case. */
const UPPER_CASE =
  'Secret name must be in UPPERCASE per project requirements. You can disable this requirement in project settings.';
const answer = (status: number, error: string, message: unknown): Fault => ({
  kind: 'answer',
  status,
  body: { statusCode: status, error, message },
});
const errorOf = async (work: Promise<unknown>): Promise<DomainError> =>
  work.then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error: DomainError) => error,
  );

describe.each(['fork', 'v3', 'v4'] as const)('a write that Infisical refuses for good (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  const opened = async () => {
    const one = await openStore({ apiVersion });
    await one.store.create(at(), { name: 'old', value: 'was' });
    await one.store.list(at());
    return one;
  };
  const WRITES: readonly (readonly [string, string, (store: StoreClient) => Promise<void>])[] = [
    ['create', 'POST', (store) => store.create(at(), { name: 'new-name', value: 'canary-1' })],
    ['update', 'PATCH', (store) => store.update(at(), { name: 'old', value: 'canary-2' })],
    ['delete', 'DELETE', (store) => store.delete(at(), 'old')],
  ];

  it('is told as such with its words, not as an outage, where a project demands names in upper case', async () => {
    const { fake, store, logged } = await opened();
    fake.fail({ method: 'POST', template: routes.secret, fault: answer(400, 'BadRequest', UPPER_CASE) });
    const error = await errorOf(store.create(at(), { name: 'new-name', value: 'canary-1' }));
    expect(error).toMatchObject({
      reason: 'STORE_REFUSED',
      status: 422,
      message: `The secret store refuses this write, and would refuse it again: ${UPPER_CASE}`,
      details: { storeMessage: UPPER_CASE },
    });
    expect(leftAsItWas(error)).toBe(true);
    expect(fake.count('POST', routes.secret)).toBe(2);
    expect(logged.at(-1)).toMatchObject({
      event: 'infisical_call_failed',
      fields: { call: 'createSecret', status: 400, said: UPPER_CASE },
    });
    expect(rowsOf(fake, at())).toEqual([['old', 'was']]);
  });

  describe.each(WRITES)('%s', (_name, method, send) => {
    it.each([
      [400, 'BadRequest', 'Something that nobody has ever seen'],
      [422, 'Unprocessable', 'Something that nobody has ever seen'],
      [413, 'PayloadTooLarge', 'Request body is too large'],
    ])('answered %i with words that nobody knows', async (status, error, words) => {
      const { fake, store } = await opened();
      fake.fail({ method, template: routes.secret, fault: answer(status, error, words) });
      const failed = await errorOf(send(store));
      expect([failed.reason, failed.details]).toEqual(['STORE_REFUSED', { storeMessage: words }]);
      expect(rowsOf(fake, at())).toEqual([['old', 'was']]);
    });

    it('answered with the page of a proxy, of which nothing is shown', async () => {
      const { fake, store } = await opened();
      const fault = { kind: 'answer', status: 400, body: undefined, raw: '<html>canary</html>' } as const;
      fake.fail({ method, template: routes.secret, fault });
      expect(await errorOf(send(store))).toMatchObject({ reason: 'STORE_REFUSED', details: {} });
    });

    it('is not one where another answer came, which says nothing of another try', async () => {
      const { fake, store } = await opened();
      fake.fail({ method, template: routes.secret, fault: answer(418, 'x', 'y') });
      expect(await outcome(send(store))).toBe('STORE_UNAVAILABLE');
    });
  });

  it('shows neither the value, nor a key, nor the name, whatever the words are', async () => {
    const { fake, store, logged } = await opened();
    const issues = [{ path: ['secretValue'], message: 'The value canary-1 is not allowed' }];
    for (const words of ['Refused: canary-1', 'The secret C a n A r Y - 1 is bad', issues]) {
      fake.fail({ method: 'POST', template: routes.secret, fault: answer(400, 'BadRequest', words) });
      const error = await errorOf(store.create(at(), { name: 'new-name', value: 'canary-1' }));
      expect([error.reason, error.details]).toEqual(['STORE_REFUSED', {}]);
    }
    const words = 'Secret new-name of identity 3f8a8f54-11aa-4c4e-9d77-d0a0ff2b6c3e must be in a folder';
    fake.fail({ method: 'POST', template: routes.secret, fault: answer(400, 'BadRequest', words) });
    const error = await errorOf(store.create(at(), { name: 'new-name', value: 'canary-1' }));
    expect(error.details).toEqual({ storeMessage: 'Secret <name> of identity … must be in a folder' });
    expect(JSON.stringify([logged, error])).not.toMatch(/canary|new-name|3f8a/i);
  });

  it('is also one where the project or the environment may not be made', async () => {
    const { fake, store } = await opened();
    const words = 'Failed to create due to plan limit reached. Upgrade plan to add more.';
    fake.fail({
      method: 'POST',
      template: routes.environments,
      times: 9,
      fault: answer(400, 'BadRequest', words),
    });
    const inTest = store.create(at('new', 'test'), { name: 'k', value: 'canary' });
    expect(await errorOf(inTest)).toMatchObject({
      reason: 'STORE_REFUSED',
      details: { storeMessage: words },
    });
    fake.fail({ method: 'POST', template: routes.projects, fault: answer(400, 'BadRequest', words) });
    const elsewhere = store.create(at('elsewhere'), { name: 'k', value: 'canary' });
    expect(await errorOf(elsewhere)).toMatchObject({ reason: 'STORE_REFUSED' });
  });

  it('is none where a read is refused so: nobody who reads can mend it', async () => {
    const { fake, store } = await opened();
    fake.fail({ method: 'GET', template: routes.list, times: 9, fault: answer(400, 'BadRequest', 'x') });
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
  });
});

describe('what Infisical says of a refused write', () => {
  const said = (message: unknown, value?: string, name = 'n') =>
    refusalSentence({ message }, { name, ...(value !== undefined && { value }) });

  it.each([
    ['the value', 'The value hunter is too short', 'hunter'],
    ['the value in other letters', 'The value HUNTER is too short', 'hunter'],
    ['four characters of the value', 'A value that begins with hunt is refused', 'hunter22'],
    ['a short value', 'The value ab is too short', 'ab'],
    ['a value without letters', 'The value *** is refused', '***'],
    ['nothing', '', 'v'],
    ['no words', '3f8a8f54 d0a0ff2b6c3e', 'v'],
    ['more than a sentence', 'word '.repeat(100), 'value-of-it'],
    ['something else than words', { text: 'canary' }, 'v'],
  ])('is not shown where it holds %s', (_what, message, value) => {
    expect(said(message, value)).toBeUndefined();
  });

  it('holds no two words that a dash joins, which another secret may be', () => {
    expect(said('The value correct-horse of another secret is in the way', 'zz9')).toBe(
      'The value … of another secret is in the way',
    );
  });

  it('is shown of a list of issues by field', () => {
    const issues = [{ path: ['secretName'], message: 'Cannot be empty', received: 'canary' }, null, 3];
    expect(said(issues, 'zz9')).toBe('secretName: Cannot be empty');
  });

  it('is cut short of whatever could be a key or an id, and of the name in any case', () => {
    expect(said('Token st.3f8a.9c1d of N is not valid for this secret', 'zz9')).toBe(
      'Token … of <name> is not valid for this secret',
    );
  });
});
