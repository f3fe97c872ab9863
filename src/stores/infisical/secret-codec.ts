import { isUtf8 } from 'node:buffer';
import { InvalidRequest } from '../../errors/request-errors';
import { StoreUnavailable } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import { MAX_NAME_LENGTH, type Secret, secretBytes } from '../../secrets/secret';
import type { ScopeContents } from '../../secrets/secret-store';
import { MAX_REQUEST_BYTES } from './transport/infisical-client';
import { API_VERSIONS, type ApiVersion } from './versions/api-version';

// A name that some server cannot hold is stored under the key `osp.v1.<name>`, in which `~3A` stands for `:`, `~2F` for `/`, `~20` for a
// space and `~7E` for `~`. Every other name is its own key.

const MARK = 'osp.v1.';
/** What servers since 2025 refuse in a name, and the escape character itself. */
const ESCAPED = /[:/ ~]/g;

const ROUTES: ReadonlySet<string> = new Set(
  Object.values(API_VERSIONS).flatMap(({ routesOfNames, routesOfNewNames }) => [
    ...routesOfNames,
    ...routesOfNewNames,
  ]),
);

/** @throws InvalidRequest for a name that Infisical can hold only escaped, and that is too long then; isSecretName() refuses the others */
export function requireHoldableName(name: string): void {
  if (isAlwaysEscaped(name) && !fits(escapeName(name)))
    throw new InvalidRequest(
      'name',
      `is too long: Infisical stores it escaped, which takes more than ${MAX_NAME_LENGTH} characters`,
    );
}

/** Returns the name of the secret that is stored under this key. */
export function nameOfKey(key: string): string {
  if (!key.startsWith(MARK)) return key;
  const name = key
    .slice(MARK.length)
    .replace(/~([0-9A-F]{2})/g, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return escapeName(name) === key && isSometimesEscaped(name) ? name : key;
}

/**
 * Returns the keys under which a server may hold the secret of this name, in the order of precedence. The first is the one to create; only a
 * name with spaces comes before its escaped key, which is created where the server refuses those spaces, and only its answer shows that.
 */
export function keysOf(name: string, { routesOfNames, routesOfNewNames }: ApiVersion): readonly string[] {
  const key = escapeName(name);
  if (isAlwaysEscaped(name)) {
    // A person may have stored a name with ':' or '/' as it is, on a server that allows it.
    return isEscaped(name) || name in Object.prototype ? [key] : [key, name];
  }
  if (routesOfNames.includes(name)) return [key];
  if (routesOfNewNames.includes(name)) return [key, name];
  return isSentAsItIsFirst(name) && fits(key) ? [name, key] : [name];
}

/** Returns whether this row's key comes after the other one of its name. */
export function hasLaterKey({ name, key }: SecretRow): boolean {
  return isSentAsItIsFirst(name) ? key !== name : key === name;
}

function escapeName(name: string): string {
  return (
    MARK + name.replace(ESCAPED, (character) => `~${character.charCodeAt(0).toString(16).toUpperCase()}`)
  );
}

function fits(key: string): boolean {
  return key.length <= MAX_NAME_LENGTH;
}

function isSentAsItIsFirst(name: string): boolean {
  return name.includes(' ') && !isAlwaysEscaped(name);
}

/** Returns whether this name is escaped on every server, also on those that would hold it: they may be upgraded to one that does not. */
export function isAlwaysEscaped(name: string): boolean {
  // The servers group by name on a plain object: '__proto__', 'constructor', 'toString' and the like answer 500.
  return /[:/]/.test(name) || name in Object.prototype || isEscaped(name);
}

function isSometimesEscaped(name: string): boolean {
  return isAlwaysEscaped(name) || name.includes(' ') || ROUTES.has(name);
}

function isEscaped(text: string): boolean {
  return nameOfKey(text) !== text;
}

/** A row of a list. A race of creates on the server can leave several rows of one name. */
export interface SecretRow {
  readonly id: string;
  readonly name: string;
  /** What the server holds as its name. */
  readonly key: string;
  readonly version: number;
  /** 0 on servers whose lists do not include it. */
  readonly updatedAtMs: number;
  /** As stored, or undefined where the server hid it. */
  readonly stored: string | undefined;
}

// Infisical trims values, expands references in them and limits a request to 1 MiB of JSON. A value that would not
// come back byte for byte is stored as `osp:v1:b64:<base64 of its UTF-8>`; all others stay readable in its page.

/** The texts that servers of 2025 and later show instead of hidden values. */
const MASKED = /^(\*{6,}|<hidden-by-infisical>)$/;

export function looksMasked(text: string): boolean {
  return MASKED.test(text);
}

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

/** @param value one that isSecretValue() takes */
export function encodeValue(value: string): string {
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
    // Wider than JavaScript's trim: no invisible character at an edge is left to how a server trims.
    !/^[\s\p{C}\p{Z}]|[\s\p{C}\p{Z}]$/u.test(body) &&
    !value.includes('${') &&
    // The page's text field and the command line turn CR LF into LF.
    !/[\r\0]/.test(value) &&
    !/^osp:v/.test(value) &&
    !looksMasked(value.trim()) &&
    // JSON doubles a quote and makes six bytes of a control character.
    Buffer.byteLength(JSON.stringify(value)) + REQUEST_OVERHEAD_BYTES <= MAX_REQUEST_BYTES
  );
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
