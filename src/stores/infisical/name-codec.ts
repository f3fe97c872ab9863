import { InvalidRequest } from '../../errors/request-errors';
import { MAX_NAME_LENGTH } from '../../secrets/secret';
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

/** Each rule with what breaks it. */
const RULES: readonly (readonly [rule: string, broken: (name: string) => boolean])[] = [
  ['must be well-formed Unicode', (name) => !name.isWellFormed()],
  [`must be 1 to ${MAX_NAME_LENGTH} characters`, (name) => name === '' || name.length > MAX_NAME_LENGTH],
  ['must not hold control characters', (name) => /\p{Cc}/u.test(name)],
  ['must not begin or end with white space', (name) => name.trim() !== name],
  ["must not be '.' or '..'", (name) => name === '.' || name === '..'],
  [
    `is too long: Infisical stores it escaped, which takes more than ${MAX_NAME_LENGTH} characters`,
    (name) => isAlwaysEscaped(name) && !fits(escapeName(name)),
  ],
];

/** @throws InvalidRequest for a name that Infisical cannot hold in any form */
export function requireHoldableName(name: string): void {
  const broken = RULES.find(([, isBroken]) => isBroken(name));
  if (broken !== undefined) throw new InvalidRequest('name', broken[0]);
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
 * Returns the keys under which a server may hold the secret of this name, the most probable first. A key that differs from the name is the
 * one to create where it comes first; where it comes second, the server must have refused the name for its spaces, which only its answer shows.
 */
export function keysOf(name: string, { routesOfNames, routesOfNewNames }: ApiVersion): readonly string[] {
  const key = escapeName(name);
  if (isAlwaysEscaped(name)) {
    // A person may have stored a name with ':' or '/' as it is, on a server that allows it.
    return isEscaped(name) || name in Object.prototype ? [key] : [key, name];
  }
  if (routesOfNames.includes(name)) return [key];
  if (routesOfNewNames.includes(name)) return [key, name];
  return name.includes(' ') && fits(key) ? [name, key] : [name];
}

function escapeName(name: string): string {
  return (
    MARK + name.replace(ESCAPED, (character) => `~${character.charCodeAt(0).toString(16).toUpperCase()}`)
  );
}

function fits(key: string): boolean {
  return key.length <= MAX_NAME_LENGTH;
}

/** Returns whether this name is escaped on every server, also on those that would hold it: they may be upgraded to one that does not. */
function isAlwaysEscaped(name: string): boolean {
  // The servers group by name on a plain object: '__proto__', 'constructor', 'toString' and the like answer 500.
  return /[:/]/.test(name) || name in Object.prototype || isEscaped(name);
}

function isSometimesEscaped(name: string): boolean {
  return isAlwaysEscaped(name) || name.includes(' ') || ROUTES.has(name);
}

function isEscaped(text: string): boolean {
  return nameOfKey(text) !== text;
}
