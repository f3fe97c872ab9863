import type { StoreClient } from '../../support/store-client';
import { DomainError } from '../../../src/errors/domain-error';
import type { Fault, PlannedFault } from '../../support/fake-infisical/fake-faults';
import { CLIENT_SECRET, ECHO, leaksIn, VALUE } from './canary';
import { at, openStore, ROUTES } from './opened-store';

/** Names may be in an error, which goes to who asked, but not in a log, unless their values cannot be read. */
const NAME = 'canary-name';

const ROW = { id: '1', secretKey: NAME, version: 1 };
const json = (status: number, body: unknown): Fault => ({ kind: 'answer', status, body });

/** An answer that gives everything back that it was asked with, as a chatty server or proxy may. */
const echo = (status: number): Fault =>
  json(status, { statusCode: status, error: `Echo ${ECHO}`, message: ECHO });

/** Each fault with a word that the log must show, so that it is known to have struck; the fault plan has the others. */
const FAULTS: readonly (readonly [title: string, shown: string, fault: Fault])[] = [
  [
    'hidden value',
    'infisical_value_unreadable',
    json(200, { secrets: [{ ...ROW, secretValue: VALUE, secretValueHidden: true }] }),
  ],
  [
    'unknown marker',
    'infisical_value_unreadable',
    json(200, { secrets: [{ ...ROW, secretValue: `osp:v9:${VALUE}` }] }),
  ],
  ['an end mid-body', 'connectionLost', { kind: 'truncate', when: 'after' }],
  ['echo 400', 'notUnderstood', echo(400)],
  ['echo 401', 'notUnderstood', echo(401)],
  ['echo 403', 'notUnderstood', echo(403)],
  ['echo 404', 'notUnderstood', echo(404)],
  ['echo 429', 'rateLimited', echo(429)],
  ['echo 500', 'serverFailure', echo(500)],
];

const OPERATIONS: Readonly<Record<string, (store: StoreClient) => Promise<unknown>>> = {
  create: (store) => store.create(at(), { name: `${NAME}-2`, value: VALUE }),
  retrieve: (store) => store.retrieve(at(), NAME),
  update: (store) => store.update(at(), { name: NAME, value: `${VALUE}2` }),
  delete: (store) => store.delete(at(), NAME),
  list: (store) => store.list(at()),
  'first create': (store) => store.create(at('another'), { name: NAME, value: VALUE }),
  ping: (store) => store.ping(),
};

const TARGETS: readonly Omit<PlannedFault, 'fault'>[] = [
  { method: 'POST', template: ROUTES.login },
  { method: 'GET', template: ROUTES.list },
  { method: 'GET', template: ROUTES.project },
  { method: 'POST', template: ROUTES.projects },
  { method: 'POST', template: ROUTES.environments },
  { template: ROUTES.secret },
  {},
];

/** All operations under the fault at one place; what they threw, and what was logged. */
async function driven(target: Omit<PlannedFault, 'fault'>, fault: Fault) {
  const { fake, store, another, logged } = await openStore({ apiVersion: 'v3', clientSecret: CLIENT_SECRET });
  const thrown: unknown[] = [];
  await store.create(at(), { name: NAME, value: VALUE });
  fake.fail({ ...target, times: 999, fault });
  // An instance for each, so that every one meets the fault cold.
  const runs = Object.values(OPERATIONS).map((operation) =>
    operation(another({ operationTimeoutMs: 3_000 })).catch((error: unknown) => thrown.push(error)),
  );
  await Promise.all(runs);
  return { thrown, logged };
}

describe.each(FAULTS)('under the fault "%s" at each single route', (_title, shown, fault) => {
  it('no error and no log line holds a client secret, a token or a value', async () => {
    const results = await Promise.all(TARGETS.map((target) => driven(target, fault)));
    const thrown = results.flatMap((result) => result.thrown);
    const logged = results.flatMap((result) => result.logged);
    expect(thrown.length).toBeGreaterThan(0);
    expect(JSON.stringify(logged)).toContain(shown);
    expect([...thrown, ...logged].flatMap(leaksIn)).toEqual([]);
    // Nothing else tells which value is to be mended.
    const nameless = logged.filter(({ event }) => event !== 'infisical_value_unreadable');
    expect(JSON.stringify(nameless)).not.toContain(NAME);
    expect(thrown.filter((error) => !(error instanceof DomainError))).toEqual([]);
    expect(thrown.filter((error) => error instanceof Error && error.cause !== undefined)).toEqual([]);
  });
});
