import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { accessToken, userToken } from '../../test/support/tokens';
import type { Call } from './processes/load-generator';

/** An installed app: one of each user, with all operations on each of its workspaces. */
export interface BenchApp {
  readonly app: string;
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
  readonly workspaces: readonly string[];
  readonly ops: readonly string[];
}

export function benchApp(at: number, workspaces: readonly string[] = [`desk${at}`]): BenchApp {
  return {
    app: `app${at}`,
    user: `user${at}`,
    appKey: `bytetrade_app${at}_${100_000 + at}`,
    appSecret: String(at).padStart(16, '0'),
    workspaces,
    ops: workspaces.flatMap((workspace) =>
      SECRET_OPERATIONS.map((operation) => `${operation}?workspace=${workspace}`),
    ),
  };
}

/** With tokens signed just now: they live five minutes, and each request carries both. */
export async function callsOf(
  url: string,
  apps: readonly BenchApp[],
  operation: 'RetrieveSecret' | 'UpdateSecret' = 'RetrieveSecret',
): Promise<readonly Call[]> {
  const calls = apps.map(async ({ app, user, workspaces, ops }): Promise<readonly Call[]> => {
    const nowMs = Date.now();
    const body = JSON.stringify({
      name: 's0',
      env: 'prod',
      ...(operation === 'UpdateSecret' && { value: `written at ${nowMs}` }),
    });
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      'x-access-token': await accessToken(app, user, ops, nowMs),
      'x-authorization': await userToken(user, nowMs),
    };
    return workspaces.map((workspace) => ({
      method: 'POST',
      url: `${url}/${operation}?workspace=${workspace}`,
      headers,
      body,
    }));
  });
  return (await Promise.all(calls)).flat();
}
