import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { FAKE_API_VERSIONS } from '../../support/fake-infisical/fake-api-version';
import { course, type Courses } from './fault-plan';
import { at, routesOf } from './opened-store';
import type { Scene } from './fault-plan-run';

/** Something that became of the server, of what it holds or of a clock. */
export interface Circumstance {
  /** Gives the way to end it, where only that mends it. */
  readonly begin: (scene: Scene) => Promise<End> | End;
  readonly courses: Courses;
  /** It is there already when the process starts. */
  readonly fromTheStart?: true;
  readonly recoversAfterMs?: number;
}

type End = (() => unknown) | undefined;

const DAY_MS = 86_400_000;
const REST_MS = 60_000;

const all = (ended: 'done' | 'StoreUnavailable', sent: number, logins = 0): Courses => {
  const one = { ...course(ended, sent), logins };
  return { read: one, write: one, ping: one };
};
/** What was listed ten minutes ago proves no longer that a name is there once. */
const listedLongAgo = (courses: Courses): Courses => ({ ...courses, update: { ...courses.write, looks: 1 } });

const gone = (sent: number) => course('SecretNotFound', sent);

const noEnd = (act: (scene: Scene) => unknown) => (scene: Scene) => {
  act(scene);
  return undefined;
};

export const circumstances = (apiVersion: ApiVersionName): Readonly<Record<string, Circumstance>> => ({
  'a refused connection': { begin: ({ fake }) => fake.goDown(), courses: all('StoreUnavailable', 0) },
  'a dead token': { begin: noEnd(({ fake }) => fake.killTokens('unknown')), courses: all('done', 2, 1) },
  'an expired token': { begin: noEnd(({ fake }) => fake.killTokens('expired')), courses: all('done', 2, 1) },
  'tokens that are all dead': {
    begin: ({ fake }) => {
      const { list, secret, ping } = routesOf(apiVersion);
      const fault = { kind: 'answer', ...FAKE_API_VERSIONS[apiVersion].token('unknown') } as const;
      for (const template of [list, secret, ping]) fake.fail({ template, times: 999, fault });
      return () => fake.heal();
    },
    courses: all('StoreUnavailable', 2, 1),
  },
  'a deleted identity': {
    begin: ({ fake }) => {
      const deleted = fake.world.identities.splice(0);
      fake.killTokens('unknown');
      return () => fake.world.identities.push(...deleted);
    },
    courses: all('StoreUnavailable', 1, 1),
    recoversAfterMs: REST_MS,
  },
  'wrong credentials': {
    fromTheStart: true,
    begin: ({ fake }) => {
      const right = fake.identity.clientSecret;
      fake.identity.clientSecret = 'another';
      return () => (fake.identity.clientSecret = right);
    },
    courses: all('StoreUnavailable', 0, 1),
    recoversAfterMs: REST_MS,
  },
  'credentials that were changed while the token lives': {
    begin: noEnd(({ fake }) => (fake.identity.clientSecret = 'another')),
    courses: all('done', 1),
  },
  'credentials that were changed when the token is to be renewed': {
    begin: noEnd(({ fake, clock }) => {
      fake.identity.clientSecret = 'another';
      clock.advance(27 * DAY_MS);
    }),
    courses: listedLongAgo(all('done', 1, 1)),
  },
  'a right that was taken away': {
    begin: ({ fake }) => {
      const members = fake.project(projectSlug(at()))?.members;
      members?.set(fake.identity.id, 'viewer');
      return () => members?.set(fake.identity.id, 'admin');
    },
    courses: { ...all('done', 1), write: course('StoreUnavailable', 1) },
  },
  'a deleted project': {
    begin: noEnd(({ fake }) => fake.world.deleteProject(projectSlug(at()))),
    courses: {
      ...all('done', 1),
      retrieve: gone(1),
      create: course('done', 2),
      update: gone(1),
      delete: gone(1),
    },
  },
  'a deleted environment': {
    begin: noEnd(({ fake }) => fake.world.deleteEnvironment(projectSlug(at()), 'prod')),
    courses: {
      ...all('done', 1),
      retrieve: gone(1),
      create: course('done', 2),
      update: gone(2),
      delete: gone(2),
    },
  },
  'a server whose clock is a day ahead': {
    begin: noEnd(({ fake }) => (fake.clockSkewMs = DAY_MS)),
    courses: all('done', 1),
  },
  'a server whose clock is a day behind': {
    begin: noEnd(({ fake }) => (fake.clockSkewMs = -DAY_MS)),
    courses: all('done', 1),
  },
  'tokens that are said to live a second': lifetime(1),
  'tokens that are said to live for ever': lifetime(0),
  'tokens that are said to have died before': lifetime(-5),
  'tokens that are said to outlive the sun': lifetime(1e300),
  'our clock put forward by 40 days': {
    begin: noEnd(({ clock }) => clock.advance(40 * DAY_MS)),
    courses: listedLongAgo(all('done', 1, 1)),
  },
  'our clock put back by 40 days': {
    begin: noEnd(({ clock }) => clock.advance(-40 * DAY_MS)),
    courses: listedLongAgo(all('done', 1)),
  },
});

function lifetime(seconds: number): Circumstance {
  return {
    begin: noEnd(({ fake }) => {
      fake.tokenTtlSeconds = seconds;
      fake.killTokens('expired');
    }),
    courses: all('done', 2, 1),
  };
}
