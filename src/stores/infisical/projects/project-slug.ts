import { createHash } from 'node:crypto';
import { InvalidRequest } from '../../../errors/request-errors';
import { StoreUnavailable } from '../../../errors/store-errors';
import { ENVIRONMENTS, type Environment } from '../../../secrets/secret';
import type { Project } from '../api/answers';
import type { LogEvent } from '../../../logging/log';

/** What an environment that we make is called in Infisical's page. */
export const ENVIRONMENT_NAMES = {
  test: 'Test',
  dev: 'Development',
  staging: 'Staging',
  prod: 'Production',
} as const satisfies Record<Environment, string>;

/** Whose workspace a project stands for. */
export interface UserWorkspace {
  readonly user: string;
  readonly workspace: string;
}

const PREFIX = 'osp-';
const MAX_DISPLAY_NAME_LENGTH = 64;
/** 16 digits of 5 bits for the user and as many for the workspace: with the prefix, the 36 characters that a slug may have. */
const HASH_DIGITS = 16;

/**
 * The same for ever and for every instance (docs/decisions/0005). The first half is the user's, so that all projects
 * of a user can be found; the second half tells the user's workspaces apart.
 */
export function projectSlug({ user, workspace }: UserWorkspace): string {
  return userSlugPrefix(user) + digitsOf('workspace', user, workspace);
}

/** What the slugs of exactly this user's projects begin with. */
export function userSlugPrefix(user: string): string {
  return PREFIX + digitsOf('user', user);
}

/** Lengths go before the parts, so that no two lists of parts run together. */
function digitsOf(...parts: readonly string[]): string {
  const material = parts.map((part) => {
    if (!part.isWellFormed()) throw new InvalidRequest('workspace', 'must be well-formed Unicode');
    return `${Buffer.byteLength(part)}:${part}`;
  });
  const hash = createHash('sha256').update(material.join('')).digest('hex');
  const digits = BigInt(`0x${hash.slice(0, (HASH_DIGITS * 5) / 4)}`).toString(32);
  return digits.padStart(HASH_DIGITS, '0');
}

/** For people in Infisical's page only; two projects may bear the same. */
export function projectDisplayName({ user, workspace }: UserWorkspace): string {
  const readable = `${user} / ${workspace}`.replace(/\p{C}/gu, ' ');
  return [...readable].reduce(
    (name, char) => (name.length + char.length > MAX_DISPLAY_NAME_LENGTH ? name : name + char),
    '',
  );
}

// What only a person can put right in Infisical's page.

/** Two instances of something made one at once on the fork: what is in the other one is out of reach. */
export function warnOfDuplicates(log: LogEvent, slug: string, { duplicateEnvironments }: Project): void {
  const advice = 'compare the environments of this slug in the page, and delete all but one';
  for (const environment of ENVIRONMENTS.filter((one) => duplicateEnvironments.has(one)))
    log('warn', 'infisical_environment_duplicated', { project: slug, environment, advice });
}

/** @returns what the caller learns of a project that bears our slug and is not ours */
export function foreignProject(log: LogEvent, slug: string): StoreUnavailable {
  const advice = 'add the machine identity to this project as admin, or delete the project';
  log('warn', 'infisical_project_foreign', { project: slug, advice });
  return new StoreUnavailable();
}

/** Newer servers keep a deleted environment for two weeks, and none of its slug can be made meanwhile. */
export function warnOfHeld(log: LogEvent, slug: string, environment: Environment): void {
  const advice = "restore this deleted environment in the project's settings, or delete it there for good";
  log('warn', 'infisical_environment_slug_held', { project: slug, environment, advice });
}

/** What an operator reads in the log and in readiness. */
export const MAY_NOT_CREATE =
  'Infisical refused the machine identity a new project, so that new workspaces are 503: give it the organization role member.';

export function refusedProject(log: LogEvent): void {
  log('warn', 'infisical_project_refused', { advice: MAY_NOT_CREATE });
}

/** One that we made in an organization that is not ours, and could not take back. */
export function warnOfLeft(log: LogEvent, slug: string): void {
  log('warn', 'infisical_project_left_behind', {
    project: slug,
    advice: 'delete this empty project in the page',
  });
}
