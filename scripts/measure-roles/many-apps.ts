import { grantSet, type InstalledApp, SECRET_OPERATIONS } from '../../src/authz/grant';

export const APPS = Number(process.env['APPS'] ?? 10_000);

export const OPTIONS = {
  endpoint: { service: 'vault', namespace: 'os-protected', port: 8080 },
  providerName: 'secret-provider',
};

/** Apps of 500 users, each with all operations on one workspace. */
export function appAt(at: number): InstalledApp {
  const [user, app] = [`user${at % 500}`, `app${Math.floor(at / 500)}`];
  const grants = grantSet(SECRET_OPERATIONS.map((operation) => ({ operation, workspace: `${app}-desk` })));
  return { user, app, namespace: `${app}-${user}`, grants };
}
