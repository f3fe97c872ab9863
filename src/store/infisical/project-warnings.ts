import { StoreUnavailable } from '../../errors/store-errors';
import { ENVIRONMENTS, type Environment } from '../../secrets/secret';
import type { Project } from './answers';
import type { Log } from './infisical-options';

// What only a person can put right in Infisical's page.

/** Two instances of something made one at once on the fork: what is in the other one is out of reach. */
export function warnOfDoubled(log: Log, slug: string, { doubledEnvironments }: Project): void {
  const advice = 'compare the environments of this slug in the page, and delete all but one';
  for (const environment of ENVIRONMENTS.filter((one) => doubledEnvironments.has(one)))
    log('infisical.environment.doubled', { project: slug, environment, advice });
}

/** @returns what the caller learns of a project that bears our slug and is not ours */
export function foreignProject(log: Log, slug: string): StoreUnavailable {
  const advice = 'add the machine identity to this project as admin, or delete the project';
  log('infisical.project.foreign', { project: slug, advice });
  return new StoreUnavailable();
}

/** Newer servers keep a deleted environment for two weeks, and none of its slug can be made meanwhile. */
export function warnOfHeld(log: Log, slug: string, environment: Environment): void {
  const advice = "restore this deleted environment in the project's settings, or delete it there for good";
  log('infisical.environment.held', { project: slug, environment, advice });
}

/** What an operator reads in the log and in readiness. */
export const MAY_NOT_CREATE =
  'Infisical refused the machine identity a new project, so that new workspaces are 503: give it the organization role member.';

export function refusedProject(log: Log): void {
  log('infisical.project.refused', { advice: MAY_NOT_CREATE });
}

/** One that we made in an organization that is not ours, and could not take back. */
export function warnOfLeft(log: Log, slug: string): void {
  log('infisical.project.left', { project: slug, advice: 'delete this empty project in the page' });
}
