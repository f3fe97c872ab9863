import { type SecretRow, parseSecret, parseSecrets, parseWrite } from './answers';
import type { Deadline } from '../../../time/deadline';
import type { ApiVersion } from '../versions/api-version';
import type { Answered } from './execute-request';
import type { InfisicalApi } from './infisical-api';

/**
 * Of the rows of one name, the one that stands for it, the same for every reader: the highest version, then the latest
 * update, then the lowest id. An update raises one row's version, so that it is this one from then on, or soon; a create
 * that is carried out late never is, once there was an update.
 */
export function preferredRow(rows: readonly SecretRow[]): SecretRow | undefined {
  return [...rows].sort(byPrecedence)[0];
}

/** One row for each name, by name ascending by code unit. */
export function distinctRows(rows: readonly SecretRow[]): readonly SecretRow[] {
  const chosen = new Map<string, SecretRow>();
  for (const row of [...rows].sort(byPrecedence)) if (!chosen.has(row.name)) chosen.set(row.name, row);
  return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** How many rows a list holds beyond one for each name. */
export function duplicateRows(rows: readonly SecretRow[]): number {
  return rows.length - new Set(rows.map((row) => row.name)).size;
}

export function duplicateNames(rows: readonly SecretRow[]): ReadonlySet<string> {
  const once = new Set<string>();
  return new Set(rows.map(({ name }) => name).filter((name) => once.size === once.add(name).size));
}

/** What the servers say of a row beside its name and value. */
const FRAME_BYTES = 500;

/** About how large the list was as an answer. */
export function listBytes(rows: readonly SecretRow[]): number {
  return rows.reduce(
    (sum, { name, stored = '' }) => sum + FRAME_BYTES + Buffer.byteLength(name) + Buffer.byteLength(stored),
    0,
  );
}

function byPrecedence(a: SecretRow, b: SecretRow): number {
  return b.version - a.version || b.updatedAtMs - a.updatedAtMs || (a.id < b.id ? -1 : 1);
}

/** One environment of one project: where a list looks and a write goes. */
export interface ProjectEnvironment {
  readonly projectId: string;
  readonly environment: string;
}

/** All rows of a room, and its entity tag, where the server gives one. */
interface SecretList {
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

/** All of a room in one call: on the server that Olares ships, a look by name costs ten times as much. */
export async function listSecrets(
  api: InfisicalApi,
  location: ProjectEnvironment,
  deadline: Deadline,
  known?: string,
): Promise<SecretList | 'unchanged'> {
  const parts = (apiVersion: ApiVersion) => ({
    query: { ...addressOf(apiVersion, location), ...apiVersion.readFlags },
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
  location: ProjectEnvironment,
  name: string,
  deadline: Deadline,
): Promise<SecretRow> {
  const parts = (apiVersion: ApiVersion) => ({
    path: { name },
    query: { ...addressOf(apiVersion, location), type: 'shared', ...apiVersion.readFlags },
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
  location: ProjectEnvironment,
  write: SecretWrite,
  deadline: Deadline,
): Promise<'done' | 'approvalRequired'> {
  const parts = (apiVersion: ApiVersion) => ({
    path: { name: write.name },
    body: {
      ...addressOf(apiVersion, location),
      secretPath: '/',
      type: 'shared',
      ...('stored' in write && { secretValue: write.stored }),
    },
  });
  return api.call(write.call, parts, (body) => parseWrite(write.name, body), deadline);
}

function addressOf(apiVersion: ApiVersion, location: ProjectEnvironment): Readonly<Record<string, string>> {
  return { [apiVersion.projectIdField]: location.projectId, environment: location.environment };
}
