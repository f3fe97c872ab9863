import { inspect } from 'node:util';
import { DomainError } from '../../../src/errors/domain-error';
import type { SecretStore } from '../../../src/secrets/secret-store';
import type { Fault, PlannedFault } from '../../support/fake-infisical/fake-faults';
import { at, openStore, ROUTES } from './opened-store';

const SECRET = 'canary-client-secret';
const VALUE = ' canary-value ${X}';
const CANARIES = [SECRET, 'fake-token-', 'canary-value', Buffer.from(VALUE).toString('base64').slice(0, 16)];
/** Names may be in an error, which goes to who asked, but not in a log. */
const NAME = 'canary-name';

const ROW = { id: '1', secretKey: NAME, version: 1 };
const json = (status: number, body: unknown): Fault & { kind: 'answer' } => ({
  kind: 'answer',
  status,
  body,
});
const raw = (status: number, text: string): Fault => ({ ...json(status, null), raw: text });

/** An answer that gives everything back that it was asked with, as a chatty server or proxy may. */
const echo = (status: number): Fault =>
  json(status, {
    statusCode: status,
    error: `Echo ${SECRET} fake-token-x`,
    message: `${VALUE} fake-token-x ${SECRET}`,
  });

/** Each fault with a word that the log must show, so that it is known to have struck. */
const FAULTS: readonly (readonly [title: string, shown: string, fault: Fault])[] = [
  ['reset before', 'connectionLost', { kind: 'reset', when: 'before' }],
  ['reset after', 'connectionLost', { kind: 'reset', when: 'after' }],
  ['hang before', 'timedOut', { kind: 'hang', when: 'before' }],
  ['hang after', 'timedOut', { kind: 'hang', when: 'after' }],
  ['truncated answer', 'connectionLost', { kind: 'truncate', when: 'after' }],
  ['truncated JSON', 'unexpectedAnswer', raw(200, `{"secrets": [{"secretValue": "${VALUE}`)],
  ['page', 'unexpectedAnswer', raw(200, `<html>${VALUE} ${SECRET}</html>`)],
  ['wrong types', 'unexpectedAnswer', json(200, { secrets: [{ secretValue: [VALUE] }], secret: VALUE })],
  [
    'redirect',
    'unexpectedAnswer',
    { ...json(302, null), headers: { location: `http://127.0.0.1:1/?${SECRET}` } },
  ],
  [
    'hidden value',
    'value.unreadable',
    json(200, { secrets: [{ ...ROW, secretValue: VALUE, secretValueHidden: true }] }),
  ],
  [
    'unknown marker',
    'value.unreadable',
    json(200, { secrets: [{ ...ROW, secretValue: `osp:v9:${VALUE}` }] }),
  ],
  ['echo 400', 'notUnderstood', echo(400)],
  ['echo 401', 'notUnderstood', echo(401)],
  ['echo 403', 'notUnderstood', echo(403)],
  ['echo 404', 'notUnderstood', echo(404)],
  ['echo 418', 'notUnderstood', echo(418)],
  ['echo 429', 'rateLimited', echo(429)],
  ['echo 500', 'serverFailure', echo(500)],
  ['echo 502', 'gatewayFailure', echo(502)],
];

const OPERATIONS: Readonly<Record<string, (store: SecretStore) => Promise<unknown>>> = {
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

/** Every way in which something thrown or logged may be written down. */
function writtenDown(thing: unknown): string {
  const shown = inspect(thing, { depth: 12, showHidden: true, getters: true });
  return `${shown} ${JSON.stringify(thing)} ${thing instanceof Error ? `${thing.message} ${thing.stack}` : ''}`;
}

/** All operations under the fault at one place; what they threw, and what was logged. */
async function driven(target: Omit<PlannedFault, 'fault'>, fault: Fault) {
  const { fake, store, another, logged } = await openStore({ dialect: 'v3', clientSecret: SECRET });
  const thrown: unknown[] = [];
  await store.create(at(), { name: NAME, value: VALUE });
  fake.fail({ ...target, times: 999, fault });
  // Short only where no answer comes: a busy machine must not turn every fault into a timeout.
  const patience =
    fault.kind === 'hang'
      ? { requestTimeoutMs: 150, operationTimeoutMs: 400 }
      : { operationTimeoutMs: 3_000 };
  // An instance for each, so that every one meets the fault cold.
  const runs = Object.values(OPERATIONS).map((operation) =>
    operation(another(patience)).catch((error: unknown) => thrown.push(error)),
  );
  await Promise.all(runs);
  return { thrown, logged };
}

describe.each(FAULTS)('under the fault "%s"', (_title, shown, fault) => {
  it('no error and no log line holds a client secret, a token or a value', async () => {
    const results = await Promise.all(TARGETS.map((target) => driven(target, fault)));
    const thrown = results.flatMap((result) => result.thrown);
    const logged = results.flatMap((result) => result.logged).map(writtenDown);
    expect(thrown.length).toBeGreaterThan(0);
    expect(logged.filter((text) => text.includes(shown))).not.toEqual([]);
    for (const canary of CANARIES) {
      expect(thrown.map(writtenDown).filter((text) => text.includes(canary))).toEqual([]);
      expect(logged.filter((text) => text.includes(canary))).toEqual([]);
    }
    expect(logged.filter((text) => text.includes(NAME))).toEqual([]);
    expect(thrown.filter((error) => !(error instanceof DomainError))).toEqual([]);
    expect(thrown.filter((error) => error instanceof Error && error.cause !== undefined)).toEqual([]);
  });
});
