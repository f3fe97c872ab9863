import { isUtf8 } from 'node:buffer';
import { InvalidRequest } from '../../errors/request-errors';
import { MAX_VALUE_BYTES, type Secret, secretBytes } from '../../secrets/secret';
import { looksMasked, type SecretRow } from './api/answers';
import { MAX_REQUEST_BYTES } from './transport/infisical-client';
import { StoreUnavailable } from '../../errors/store-errors';
import type { ScopeContents } from '../../secrets/secret-store';
import type { LogEvent } from '../../logging/log';

// Infisical trims values, expands references in them and limits a request to 1 MiB of JSON. A value that would not
// come back byte for byte is stored as `osp:v1:b64:<base64 of its UTF-8>`; all others stay readable in its page.

const ESCAPE = 'osp:v1:b64:';
const ANY_MARKER = /^osp:v\d+:/;

/** The size of a request beside the value, rounded up: names, ids and field names. */
const REQUEST_OVERHEAD_BYTES = 4096;

/** The stored value has a form that this version does not know, or was damaged by hand. */
export class UnreadableValue extends Error {
  constructor() {
    super('A stored value is marked as escaped, but not in a form that this version reads.');
    this.name = 'UnreadableValue';
  }
}

/** @throws InvalidRequest for what no store takes: half a surrogate pair, or more than MAX_VALUE_BYTES */
export function encodeValue(value: string): string {
  if (!value.isWellFormed()) throw new InvalidRequest('value', 'must be well-formed Unicode');
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES) {
    throw new InvalidRequest('value', `must be at most ${MAX_VALUE_BYTES} bytes of UTF-8`);
  }
  return staysAsItIs(value) ? value : ESCAPE + Buffer.from(value).toString('base64');
}

/** @throws UnreadableValue */
export function decodeValue(stored: string): string {
  if (!ANY_MARKER.test(stored)) return stored;
  const base64 = stored.slice(ESCAPE.length);
  const bytes = Buffer.from(base64, 'base64');
  if (!stored.startsWith(ESCAPE) || bytes.toString('base64') !== base64 || !isUtf8(bytes))
    throw new UnreadableValue();
  return bytes.toString('utf8');
}

function staysAsItIs(value: string): boolean {
  // The servers' trimming keeps one final line feed, which every PEM file ends with.
  const body = value.endsWith('\n') ? value.slice(0, -1) : value;
  return (
    !hasEdgeOfSpace(body) &&
    !value.includes('${') &&
    // The page's text field and the command line turn CR LF into LF.
    !/[\r\0]/.test(value) &&
    !/^osp:v/.test(value) &&
    !looksMasked(value.trim()) &&
    fitsRequest(value)
  );
}

/** Wider than JavaScript's trim: no invisible character at an edge is left to how a server trims. */
function hasEdgeOfSpace(text: string): boolean {
  return /^[\s\p{C}\p{Z}]|[\s\p{C}\p{Z}]$/u.test(text);
}

/** JSON doubles a quote and makes six bytes of a control character. */
function fitsRequest(value: string): boolean {
  return Buffer.byteLength(JSON.stringify(value)) + REQUEST_OVERHEAD_BYTES <= MAX_REQUEST_BYTES;
}

/** The maximum number of unreadable values that one list logs. */
const MAX_LOGGED = 10;

/** Returns the secrets of the rows, and the names of those that cannot be read, which are logged where a log is given. */
export function readableSecrets(rows: readonly SecretRow[], log?: LogEvent): Omit<ScopeContents, 'whole'> {
  const secrets: Secret[] = [];
  const unreadable = new Set<string>();
  for (const row of rows) {
    const value = valueOf(row);
    if (value !== undefined) {
      secrets.push({ name: row.name, value });
      continue;
    }
    if (unreadable.size < MAX_LOGGED) log?.('warn', 'infisical_value_unreadable', tellOf(row));
    unreadable.add(row.name);
  }
  return { secrets, unreadable };
}

/** Returns the secret of a row. @throws StoreUnavailable where the server hid the value, or its form is not ours */
export function readableSecret(row: SecretRow, log: LogEvent): Secret {
  const value = valueOf(row);
  if (value !== undefined) return { name: row.name, value };
  log('warn', 'infisical_value_unreadable', tellOf(row));
  throw new StoreUnavailable('The secret store holds a value in a form that cannot be read.');
}

/** Names the secret in the log, which nothing else does: otherwise nobody could find the value that must be fixed. */
function tellOf({ name, stored }: SecretRow): Readonly<Record<string, string>> {
  return { name, hidden: String(stored === undefined) };
}

/** Returns the size of a row's secret; of one that cannot be read, the size in which it is stored. */
export function bytesOfRow(row: SecretRow): number {
  return secretBytes({ name: row.name, value: valueOf(row) ?? row.stored ?? '' });
}

function valueOf({ stored }: SecretRow): string | undefined {
  try {
    return stored === undefined ? undefined : decodeValue(stored);
  } catch (error: unknown) {
    if (error instanceof UnreadableValue) return undefined;
    throw error;
  }
}
