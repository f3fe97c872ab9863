import { SECRET_OPERATIONS } from '../../src/authz/grant';
import type { AttackingApp } from '../../test/support/attacks/attack-connection';
import { accessToken, userToken } from '../../test/support/tokens';

/** An installed app with all operations on one workspace. */
export interface Tenant {
  readonly app: string;
  readonly user: string;
  readonly workspace: string;
  readonly appKey: string;
  readonly appSecret: string;
  readonly ops: readonly string[];
}

const MAX_ATTACKERS = 8;

function tenant(app: string, user: string, workspace: string, at: number): Tenant {
  return {
    app,
    user,
    workspace,
    appKey: `bytetrade_${app}_${100_000 + at}`,
    appSecret: String(at).padStart(16, '0'),
    ops: SECRET_OPERATIONS.map((operation) => `${operation}?workspace=${workspace}`),
  };
}

export const WELL_BEHAVED = tenant('good', 'alice', 'desk', 0);

/** The attacking apps, each of another user. */
export const ATTACKERS: readonly Tenant[] = Array.from({ length: MAX_ATTACKERS }, (_, at) =>
  tenant(`bad${at}`, `mallory${at}`, `storeLargeValues${at}`, at + 1),
);

let issued = 0;

/** Returns newly signed credentials, different each time, so that LLDAP is asked about each. */
export async function credentialsOf({ app, user, workspace, ops, appKey }: Tenant): Promise<AttackingApp> {
  const nowMs = Date.now();
  const headers = {
    'x-authorization': await userToken(user, nowMs, { claims: { jti: `${nowMs}-${issued++}` } }),
    'x-access-token': await accessToken(app, user, ops, nowMs),
  };
  return { appKey, workspace, headers };
}
