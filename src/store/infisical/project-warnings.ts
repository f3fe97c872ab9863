import { StoreUnavailable } from '../../errors/store-errors';
import { ENVIRONMENTS } from '../../secrets/secret';
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

/** @returns what the caller learns of a project that our identity is in, and that is not of the organization of the settings */
export function otherOrganization(log: Log, slug: string): StoreUnavailable {
  const advice =
    'INFISICAL_ORGANIZATION_ID is not the organization of this project: correct it, or remove it';
  log('infisical.organization.other', { project: slug, advice });
  return new StoreUnavailable();
}
