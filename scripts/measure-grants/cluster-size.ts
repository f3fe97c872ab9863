import type { AppToInstall } from '../../test/conformance/grant-source.conformance';

export const USERS = Number(process.env['USERS'] ?? 2000);
export const APPS = Number(process.env['APPS'] ?? 50);

const OPERATIONS = ['RetrieveSecret', 'CreateSecret', 'UpdateSecret', 'DeleteSecret', 'ListSecret'];

export function appOf(user: number, app: number): AppToInstall {
  const name = `app${app}`;
  return {
    app: name,
    user: `user${user}`,
    appKey: `bytetrade_${name}_${String(user * APPS + app).padStart(6, '0')}`,
    appSecret: String(user * APPS + app).padStart(16, '0'),
    ops: OPERATIONS.map((operation) => `${operation}?workspace=${name}-desk`),
  };
}
