import { inspect } from 'node:util';
import type { SecretStore } from '../../../src/secrets/secret-store';
import type { Fault, PlannedFault } from '../../support/fake-infisical/fake-faults';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, ROUTES } from './opened-store';

const SECRET = 'canary-client-secret';
const VALUE = ' canary-value ${X}';
const CANARIES = [SECRET, 'fake-token-', 'canary-value', Buffer.from(VALUE).toString('base64').slice(0, 16)];
/** Names may be in an error, which goes to who asked, but not in a log. */
const NAME = 'canary-name';

/** An answer that gives everything back that it was asked with, as a chatty server or proxy may. */
const echo = (status: number): Fault => ({
  kind: 'answer',
  status,
  body: {
    statusCode: status,
    error: `Echo ${SECRET} fake-token-x`,
    message: `${VALUE} fake-token-x ${SECRET}`,
  },
});
const raw = (status: number, text: string): Fault => ({ kind: 'answer', status, body: null, raw: text });

const FAULTS: Readonly<Record<string, Fault>> = {
  'reset before': { kind: 'reset', when: 'before' },
  'reset after': { kind: 'reset', when: 'after' },
  'hang before': { kind: 'hang', when: 'before' },
  'hang after': { kind: 'hang', when: 'after' },
  'truncated answer': { kind: 'truncate', when: 'after' },
  'truncated JSON': raw(200, `{"secrets": [{"secretValue": "${VALUE}`),
  page: raw(200, `<html>${VALUE} ${SECRET}</html>`),
  'wrong types': {
    kind: 'answer',
    status: 200,
    body: { secrets: [{ secretValue: [VALUE] }], secret: VALUE },
  },
  redirect: {
    kind: 'answer',
    status: 302,
    body: null,
    headers: { location: `http://127.0.0.1:1/?${SECRET}` },
  },
  'hidden value': {
    kind: 'answer',
    status: 200,
    body: { secrets: [{ id: '1', secretKey: NAME, secretValue: VALUE, secretValueHidden: true }] },
  },
  'unknown marker': {
    kind: 'answer',
    status: 200,
    body: { secrets: [{ id: '1', secretKey: NAME, secretValue: `osp:v9:${VALUE}` }] },
  },
  ...Object.fromEntries([400, 401, 403, 404, 418, 429, 500, 502].map((s) => [`echo ${s}`, echo(s)])),
};

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
  const { fake, another, logged } = await openStore(
    { dialect: 'v3', clientSecret: SECRET },
    { requestTimeoutMs: 60, operationTimeoutMs: 150 },
    new FixedClock(),
  );
  const thrown: unknown[] = [];
  const patient = another({ requestTimeoutMs: 5_000, operationTimeoutMs: 9_000 });
  await patient.create(at(), { name: NAME, value: VALUE });
  fake.fail({ ...target, times: 999, fault });
  // An instance for each, so that every one meets the fault cold.
  const runs = Object.values(OPERATIONS).map((operation) =>
    operation(another()).catch((error: unknown) => thrown.push(error)),
  );
  await Promise.all(runs);
  return { thrown, logged };
}

describe.each(Object.entries(FAULTS))('under the fault "%s"', (_title, fault) => {
  it('no error and no log line holds a client secret, a token or a value', async () => {
    const results = await Promise.all(TARGETS.map((target) => driven(target, fault)));
    const thrown = results.flatMap((result) => result.thrown);
    const logged = results.flatMap((result) => result.logged).map(writtenDown);
    expect(thrown.length).toBeGreaterThan(0);
    expect(logged.length).toBeGreaterThan(0);
    for (const canary of CANARIES) {
      expect(thrown.map(writtenDown).filter((text) => text.includes(canary))).toEqual([]);
      expect(logged.filter((text) => text.includes(canary))).toEqual([]);
    }
    expect(logged.filter((text) => text.includes(NAME))).toEqual([]);
    expect(thrown.filter((error) => error instanceof Error && error.cause !== undefined)).toEqual([]);
  });
});
