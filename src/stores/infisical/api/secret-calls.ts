import type { CallContext } from '../../../secrets/secret';
import { type ApiVersion, READ_FLAGS } from '../versions/api-version';
import { parseSecret, parseSecrets, parseWrite } from './answers';
import { hasLaterKey, type SecretRow } from '../secret-codec';
import type { TransportAnswer } from '../transport/infisical-client';
import type { InfisicalApi, PartsIn } from './infisical-api';

/** The environment of a project in which secrets are listed and written. */
export interface ProjectEnvironment {
  readonly projectId: string;
  readonly environment: string;
}

/** All rows of a location, and their entity tag where the server sends one. */
export interface SecretList {
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

/** What a call sends, and how its answer is parsed. */
interface SecretCall<T> {
  readonly parts: PartsIn;
  readonly parse: (body: unknown, answer: TransportAnswer) => T | undefined;
}

/**
 * Returns the call that lists all secrets of a location: on the server that Olares ships, retrieving one by name costs ten times as much.
 * @param ifRevision the revision of an earlier list; the answer is 'unchanged' where it still holds
 */
export function listing(
  location: ProjectEnvironment,
  ifRevision?: string,
): SecretCall<SecretList | 'unchanged'> {
  return {
    parts: (apiVersion) => ({
      query: { ...addressOf(apiVersion, location), ...READ_FLAGS },
      ...(ifRevision !== undefined && { ifNoneMatch: ifRevision }),
    }),
    parse: (body, { status, etag }) => {
      if (status === 304) return 'unchanged';
      const rows = parseSecrets(body);
      return rows === undefined ? undefined : { rows, ...(etag !== undefined && { revision: etag }) };
    },
  };
}

/** Retrieves one secret by its key. Where the server stored the key twice, it answers with whichever row it finds first. */
export async function retrieveSecret(
  api: InfisicalApi,
  location: ProjectEnvironment,
  key: string,
  context: CallContext,
): Promise<SecretRow> {
  const parts = (apiVersion: ApiVersion) => ({
    path: { name: key },
    query: { ...addressOf(apiVersion, location), type: 'shared', ...READ_FLAGS },
  });
  const parse = (body: unknown) => {
    const row = parseSecret(body);
    return row?.key === key ? row : undefined;
  };
  return api.call('retrieveSecret', parts, parse, context);
}

/** A name with its value in the form that is stored. */
export interface StoredSecret {
  readonly name: string;
  readonly stored: string;
}

export type SecretWrite =
  | ({ readonly call: 'createSecret' | 'updateSecret' } & StoredSecret)
  | { readonly call: 'deleteSecret'; readonly name: string };

export async function writeSecret(
  api: InfisicalApi,
  location: ProjectEnvironment,
  key: string,
  write: SecretWrite,
  context: CallContext,
): Promise<'done' | 'approvalRequired'> {
  const parts = (apiVersion: ApiVersion) => ({
    path: { name: key },
    body: {
      ...addressOf(apiVersion, location),
      secretPath: '/',
      type: 'shared',
      ...('stored' in write && { secretValue: write.stored }),
    },
  });
  return api.call(write.call, parts, (body) => parseWrite(key, body), context);
}

function addressOf(apiVersion: ApiVersion, location: ProjectEnvironment): Readonly<Record<string, string>> {
  return { [apiVersion.projectIdField]: location.projectId, environment: location.environment };
}

/**
 * Returns the row that represents a name, the same for every reader, and the one that writes change first: by the precedence of its keys, then
 * the highest version, the latest update, and the lowest id. An update raises one row's version and makes it this one, at once or soon; a
 * create that is carried out late is never this one after an update.
 */
export function preferredRow(rows: readonly SecretRow[]): SecretRow | undefined {
  return [...rows].sort(byPrecedence)[0];
}

/** Returns one row for each name, by name ascending by code unit. */
export function distinctRows(rows: readonly SecretRow[]): readonly SecretRow[] {
  const chosen = new Map<string, SecretRow>();
  for (const row of rows) {
    const other = chosen.get(row.name);
    if (other === undefined || byPrecedence(row, other) < 0) chosen.set(row.name, row);
  }
  return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Returns the names with more than one row. */
export function duplicateNames(rows: readonly SecretRow[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const duplicated = new Set<string>();
  for (const { name } of rows) if (seen.size === seen.add(name).size) duplicated.add(name);
  return duplicated;
}

/** About the size of a row in an answer beside its name and value. */
const ROW_OVERHEAD_BYTES = 500;

/** Returns about the size of the list as an answer. */
export function listBytes(rows: readonly SecretRow[]): number {
  return rows.reduce(
    (sum, { name, stored = '' }) =>
      sum + ROW_OVERHEAD_BYTES + Buffer.byteLength(name) + Buffer.byteLength(stored),
    0,
  );
}

function byPrecedence(a: SecretRow, b: SecretRow): number {
  const byKey = Number(hasLaterKey(a)) - Number(hasLaterKey(b));
  return byKey || b.version - a.version || b.updatedAtMs - a.updatedAtMs || (a.id < b.id ? -1 : 1);
}
