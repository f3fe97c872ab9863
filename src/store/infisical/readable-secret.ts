import { StoreUnavailable } from '../../errors/store-errors';
import type { Secret } from '../../secrets/secret';
import type { ScopeContents } from '../../secrets/secret-store';
import { bytesOf } from '../../secrets/usage';
import type { SecretRow } from './answers';
import type { Log } from './infisical-options';
import { decodeValue, UnreadableValue } from './value-codec';

/** Of one list. */
const MAX_LOGGED = 10;

/** What rows hold, those aside that cannot be read, which are logged where a log is given. */
export function readableSecrets(rows: readonly SecretRow[], log?: Log): Omit<ScopeContents, 'whole'> {
  const secrets: Secret[] = [];
  const unreadable = new Set<string>();
  for (const row of rows) {
    const value = valueOf(row);
    if (value !== undefined) {
      secrets.push({ name: row.name, value });
      continue;
    }
    if (unreadable.size < MAX_LOGGED) log?.('infisical.value.unreadable', tellOf(row));
    unreadable.add(row.name);
  }
  return { secrets, unreadable };
}

/** What a row holds. @throws StoreUnavailable where the server hid the value, or its form is not ours */
export function readableSecret(row: SecretRow, log: Log): Secret {
  const value = valueOf(row);
  if (value !== undefined) return { name: row.name, value };
  log('infisical.value.unreadable', tellOf(row));
  throw new StoreUnavailable('The secret store holds a value in a form that cannot be read.');
}

/** The one place where a name is in the log: nobody else can tell which value is to be mended. */
function tellOf({ name, stored }: SecretRow): Readonly<Record<string, string>> {
  return { name, hidden: String(stored === undefined) };
}

/** What the secret of a row takes; one that cannot be read takes what is stored of it. */
export function bytesOfRow(row: SecretRow): number {
  return bytesOf({ name: row.name, value: valueOf(row) ?? row.stored ?? '' });
}

function valueOf({ stored }: SecretRow): string | undefined {
  try {
    return stored === undefined ? undefined : decodeValue(stored);
  } catch (error: unknown) {
    if (error instanceof UnreadableValue) return undefined;
    throw error;
  }
}
