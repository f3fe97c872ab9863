import { benchApp } from '../apps';
import type { Child } from '../processes/child';
import type { InfisicalServer } from '../processes/infisical-server';

/** Sixteen apps of sixteen users, each with a workspace of ten short secrets. */
export const APPS = Array.from({ length: 16 }, (_, at) => benchApp(at));

export async function seedWorkspaces(infisical: Child<InfisicalServer>): Promise<void> {
  const workspaces = APPS.flatMap(({ user, workspaces: names }) =>
    names.map((workspace) => ({ user, workspace, secrets: 10, valueBytes: 64 })),
  );
  await infisical.ask('seed', workspaces);
}

/** The limits stay in each request's path; they are only out of reach, also on a machine that other work slows. */
export const LIMITS_OUT_OF_REACH = {
  RATE_LIMIT_APP_READS: '100000',
  RATE_LIMIT_APP_WRITES: '100000',
  RATE_LIMIT_USER_READS: '100000',
  RATE_LIMIT_USER_WRITES: '100000',
  MAX_EVENT_LOOP_DELAY_MS: '60000',
  QUOTA_WORKSPACE_SECRETS: '1000000',
  QUOTA_WORKSPACE_MIB: '100000',
  QUOTA_USER_SECRETS: '1000000',
  QUOTA_USER_MIB: '100000',
};
