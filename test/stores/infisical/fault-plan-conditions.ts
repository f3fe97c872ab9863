import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { FAKE_API_VERSIONS } from '../../support/fake-infisical/fake-api-version';
import { result, type ExpectedResults } from './fault-plan';
import { at, routesOf } from './opened-store';
import type { TestedStore } from './fault-plan-run';

/** A condition of the server, of its data or of a clock, with the results that it must lead to. */
export interface Condition {
  /** Returns the function that ends the condition; undefined where the store recovers without that. */
  readonly begin: (tested: TestedStore) => Promise<End> | End;
  readonly results: ExpectedResults;
  /** The condition exists already when the process starts. */
  readonly fromTheStart?: true;
  readonly recoversAfterMs?: number;
}

type End = (() => unknown) | undefined;

const DAY_MS = 86_400_000;
/** How long a store makes no login after one was refused. */
const LOGIN_PAUSE_MS = 60_000;

const all = (outcome: 'done' | 'StoreUnavailable', sent: number, logins = 0): ExpectedResults => {
  const one = { ...result(outcome, sent), logins };
  return { read: one, write: one, ping: one };
};
/** A list of ten minutes ago proves no longer that a name has one row. */
const listedLongAgo = (results: ExpectedResults): ExpectedResults => ({
  ...results,
  update: { ...results.write, verifications: 1 },
});

const gone = (sent: number) => result('SecretNotFound', sent);

const permanently = (act: (tested: TestedStore) => unknown) => (tested: TestedStore) => {
  act(tested);
  return undefined;
};

export const conditions = (apiVersion: ApiVersionName): Readonly<Record<string, Condition>> => ({
  'a refused connection': { begin: ({ fake }) => fake.goDown(), results: all('StoreUnavailable', 0) },
  'a dead token': {
    begin: permanently(({ fake }) => fake.killTokens('unknown')),
    results: all('done', 2, 1),
  },
  'an expired token': {
    begin: permanently(({ fake }) => fake.killTokens('expired')),
    results: all('done', 2, 1),
  },
  'tokens that are all dead': {
    begin: ({ fake }) => {
      const { list, secret, ping } = routesOf(apiVersion);
      const fault = { kind: 'answer', ...FAKE_API_VERSIONS[apiVersion].token('unknown') } as const;
      for (const template of [list, secret, ping]) fake.fail({ template, times: 999, fault });
      return () => fake.heal();
    },
    results: all('StoreUnavailable', 2, 1),
  },
  'a deleted identity': {
    begin: ({ fake }) => {
      const deleted = fake.world.identities.splice(0);
      fake.killTokens('unknown');
      return () => fake.world.identities.push(...deleted);
    },
    results: all('StoreUnavailable', 1, 1),
    recoversAfterMs: LOGIN_PAUSE_MS,
  },
  'wrong credentials': {
    fromTheStart: true,
    begin: ({ fake }) => {
      const right = fake.identity.clientSecret;
      fake.identity.clientSecret = 'another';
      return () => (fake.identity.clientSecret = right);
    },
    results: all('StoreUnavailable', 0, 1),
    recoversAfterMs: LOGIN_PAUSE_MS,
  },
  'credentials that were changed while the token lives': {
    begin: permanently(({ fake }) => (fake.identity.clientSecret = 'another')),
    results: all('done', 1),
  },
  'credentials that were changed when the token is to be renewed': {
    begin: permanently(({ fake, clock }) => {
      fake.identity.clientSecret = 'another';
      clock.advance(27 * DAY_MS);
    }),
    results: listedLongAgo(all('done', 1, 1)),
  },
  'a right that was taken away': {
    begin: ({ fake }) => {
      const members = fake.project(projectSlug(at()))?.members;
      members?.set(fake.identity.id, 'viewer');
      return () => members?.set(fake.identity.id, 'admin');
    },
    results: { ...all('done', 1), write: result('StoreUnavailable', 1) },
  },
  'a deleted project': {
    begin: permanently(({ fake }) => fake.world.deleteProject(projectSlug(at()))),
    results: {
      ...all('done', 1),
      retrieve: gone(1),
      create: result('done', 2),
      update: gone(1),
      delete: gone(1),
    },
  },
  'a deleted environment': {
    begin: permanently(({ fake }) => fake.world.deleteEnvironment(projectSlug(at()), 'prod')),
    results: {
      ...all('done', 1),
      retrieve: gone(1),
      create: result('done', 2),
      update: gone(2),
      delete: gone(2),
    },
  },
  'a server whose clock is a day ahead': {
    begin: permanently(({ fake }) => (fake.clockSkewMs = DAY_MS)),
    results: all('done', 1),
  },
  'a server whose clock is a day behind': {
    begin: permanently(({ fake }) => (fake.clockSkewMs = -DAY_MS)),
    results: all('done', 1),
  },
  'tokens that are said to live a second': lifetime(1),
  'tokens that are said to live for ever': lifetime(0),
  'tokens that are said to have died before': lifetime(-5),
  'tokens that are said to live for 1e300 s': lifetime(1e300),
  'our clock put forward by 40 days': {
    begin: permanently(({ clock }) => clock.advance(40 * DAY_MS)),
    results: listedLongAgo(all('done', 1, 1)),
  },
  'our clock put back by 40 days': {
    begin: permanently(({ clock }) => clock.advance(-40 * DAY_MS)),
    results: listedLongAgo(all('done', 1)),
  },
});

function lifetime(seconds: number): Condition {
  return {
    begin: permanently(({ fake }) => {
      fake.tokenTtlSeconds = seconds;
      fake.killTokens('expired');
    }),
    results: all('done', 2, 1),
  };
}
