import { createRequire } from 'node:module';
import { errorCodeOf } from '../errors/domain-error';
import {
  INVENTORY_QUERY,
  MigrationFailed,
  parseInventory,
  type PredecessorProject,
} from './predecessor-inventory';

/** The part of `pg` that is used. The library is loaded by this command alone, and only where there is a database to ask. */
interface PostgresClient {
  connect(): Promise<unknown>;
  query(statement: string): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
  end(): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
}

interface PostgresLibrary {
  readonly Client: new (options: Readonly<Record<string, unknown>>) => PostgresClient;
}

export interface DatabaseOptions {
  /** `postgres://user@host:port/database`, without a password. */
  readonly url: string;
  readonly password: string | undefined;
}

const TIMEOUT_MS = 60_000;

/** Sends one statement. */
export type Query = (statement: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** Asks the database of the predecessor for its projects, in one transaction that may only read. @throws MigrationFailed */
export async function inventoryOfDatabase(options: DatabaseOptions): Promise<readonly PredecessorProject[]> {
  const { Client } = createRequire(__filename)('pg') as PostgresLibrary;
  // What the library parses from the address counts before a password beside it.
  const address = new URL(options.url);
  if (options.password !== undefined) address.password = encodeURIComponent(options.password);
  const client = new Client({
    connectionString: address.href,
    application_name: 'migrate-from-tapr',
    connectionTimeoutMillis: TIMEOUT_MS,
    statement_timeout: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  // A lost connection also fails the query that waits.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await readInventory(async (statement) => (await client.query(statement)).rows);
  } catch (error: unknown) {
    if (error instanceof MigrationFailed) throw error;
    // The library's message may name the connection's password or a row's content.
    throw new MigrationFailed(
      `The database of the predecessor cannot be read (${errorCodeOf(error) ?? 'unknown error'}).`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws MigrationFailed, and whatever `query` throws */
export async function readInventory(query: Query): Promise<readonly PredecessorProject[]> {
  await query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const [row] = await query(INVENTORY_QUERY);
  await query('ROLLBACK');
  return parseInventory(row?.['projects']);
}
