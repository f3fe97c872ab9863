import { createHash } from 'node:crypto';
import { InvalidRequest } from '../../../errors/request-errors';
import type { Environment } from '../../../secrets/secret';

/** The names of our environments in Infisical's page. */
export const ENVIRONMENT_NAMES = {
  test: 'Test',
  dev: 'Development',
  staging: 'Staging',
  prod: 'Production',
} as const satisfies Record<Environment, string>;

export interface UserWorkspace {
  readonly user: string;
  readonly workspace: string;
}

const PREFIX = 'osp-';
const MAX_DISPLAY_NAME_LENGTH = 64;
/** 16 digits of 5 bits for the user and as many for the workspace: with the prefix, the 36 characters that a slug may have. */
const HASH_DIGITS = 16;

/**
 * Returns the slug of a project, which never changes and is the same in every instance (docs/decisions/0005). All projects of
 * a user have the first half in common, by which they are found; the second half tells the user's workspaces apart.
 */
export function projectSlug({ user, workspace }: UserWorkspace): string {
  return userSlugPrefix(user) + digitsOf('workspace', user, workspace);
}

/** Returns the beginning of the slugs of exactly this user's projects. */
export function userSlugPrefix(user: string): string {
  return PREFIX + digitsOf('user', user);
}

/** Hashes the parts, each after its length, so that no two lists of parts give the same text. */
function digitsOf(...parts: readonly string[]): string {
  const material = parts.map((part) => {
    if (!part.isWellFormed()) throw new InvalidRequest('workspace', 'must be well-formed Unicode');
    return `${Buffer.byteLength(part)}:${part}`;
  });
  const hash = createHash('sha256').update(material.join('')).digest('hex');
  const digits = BigInt(`0x${hash.slice(0, (HASH_DIGITS * 5) / 4)}`).toString(32);
  return digits.padStart(HASH_DIGITS, '0');
}

/** Returns a name for people in Infisical's page; it need not be unique. */
export function projectDisplayName({ user, workspace }: UserWorkspace): string {
  const readable = `${user} / ${workspace}`.replace(/\p{C}/gu, ' ');
  return [...readable].reduce(
    (name, char) => (name.length + char.length > MAX_DISPLAY_NAME_LENGTH ? name : name + char),
    '',
  );
}

export interface ProjectNaming {
  slug(owner: UserWorkspace): string;
  displayName(owner: UserWorkspace): string;
}

export const WORKSPACE_PROJECTS: ProjectNaming = { slug: projectSlug, displayName: projectDisplayName };

/** One project whoever the owner is. No workspace has its slug: theirs are `osp-` and 32 digits. */
export const DELETION_JOBS_PROJECT: ProjectNaming = {
  slug: () => `${PREFIX}deletion-jobs`,
  displayName: () => 'olares-secret-provider / deletion jobs',
};

/** What a person should do in Infisical's page, which we cannot do. */
export const PAGE_ADVICE = {
  /** Two instances created them at once on the fork: the secrets in one of them cannot be reached. */
  duplicateEnvironments: 'compare the environments of this slug in the page, and delete all but one',
  /** It has our slug and is not ours. */
  foreignProject: 'add the machine identity to this project as admin, or delete the project',
  /** Newer servers keep a deleted environment for two weeks, in which no other of its slug can be created. */
  heldEnvironment: "restore this deleted environment in the project's settings, or delete it there for good",
  /** Readiness shows it too. */
  mayNotCreate:
    'Infisical refused the machine identity a new project, so that new workspaces are 503: give it the organization role member.',
  /** We created it in an organization that is not ours, and could not delete it. */
  leftProject: 'delete this empty project in the page',
};
