import { createInfisicalStores } from '../../src/stores/infisical/create-infisical-secret-store';

/** Builds the store of secrets alone, as createInfisicalStores() does. */
export function createInfisicalSecretStore(...parameters: Parameters<typeof createInfisicalStores>) {
  return createInfisicalStores(...parameters).store;
}
