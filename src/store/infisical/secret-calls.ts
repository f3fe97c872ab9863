import { parseSecret, parseSecrets, parseWrite, type SecretRow } from './answers';
import type { Deadline } from './deadline';
import type { Dialect } from './dialect';
import type { Answered } from './exchange';
import type { InfisicalApi } from './infisical-api';

/** One environment of one project: where a list looks and a write goes. */
export interface Room {
  readonly projectId: string;
  readonly environment: string;
}

/** All rows of a room, and its entity tag, where the server gives one. */
export interface SecretList {
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

/** All of a room in one call: on the server that Olares ships, a look by name costs ten times as much. */
export async function listSecrets(
  api: InfisicalApi,
  room: Room,
  deadline: Deadline,
  known?: string,
): Promise<SecretList | 'unchanged'> {
  const parts = (dialect: Dialect) => ({
    query: { ...addressOf(dialect, room), ...dialect.readFlags },
    ...(known !== undefined && { ifNoneMatch: known }),
  });
  const read = (body: unknown, { unchanged, etag }: Answered): SecretList | 'unchanged' | undefined => {
    if (unchanged) return 'unchanged';
    const rows = parseSecrets(body);
    return rows === undefined ? undefined : { rows, ...(etag !== undefined && { revision: etag }) };
  };
  return api.call('listSecrets', parts, read, deadline);
}

/** One name by itself. Of a name that is stored more than once, the server shows whichever row it meets first. */
export async function retrieveSecret(
  api: InfisicalApi,
  room: Room,
  name: string,
  deadline: Deadline,
): Promise<SecretRow> {
  const parts = (dialect: Dialect) => ({
    path: { name },
    query: { ...addressOf(dialect, room), type: 'shared', ...dialect.readFlags },
  });
  const read = (body: unknown) => {
    const row = parseSecret(body);
    return row?.name === name ? row : undefined;
  };
  return api.call('retrieveSecret', parts, read, deadline);
}

export interface SecretUpdate {
  readonly call: 'updateSecret';
  readonly name: string;
  readonly stored: string;
}

export type SecretWrite =
  | SecretUpdate
  | { readonly call: 'createSecret'; readonly name: string; readonly stored: string }
  | { readonly call: 'deleteSecret'; readonly name: string };

export async function writeSecret(
  api: InfisicalApi,
  room: Room,
  write: SecretWrite,
  deadline: Deadline,
): Promise<'done' | 'approvalRequired'> {
  const parts = (dialect: Dialect) => ({
    path: { name: write.name },
    body: {
      ...addressOf(dialect, room),
      secretPath: '/',
      type: 'shared',
      ...('stored' in write && { secretValue: write.stored }),
    },
  });
  return api.call(write.call, parts, (body) => parseWrite(write.name, body), deadline);
}

function addressOf(dialect: Dialect, room: Room): Readonly<Record<string, string>> {
  return { [dialect.projectIdField]: room.projectId, environment: room.environment };
}
