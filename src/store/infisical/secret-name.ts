import { InvalidRequest } from '../../errors/request-errors';
import { MAX_NAME_LENGTH } from '../../secrets/secret';
import type { Dialect } from './dialect';

/** Each rule with what breaks it. The newest servers refuse '/' and ':', so that no store starts to depend on them. */
const RULES: readonly (readonly [rule: string, broken: (name: string) => boolean])[] = [
  ['must be well-formed Unicode', (name) => !name.isWellFormed()],
  [`must be 1 to ${MAX_NAME_LENGTH} characters`, (name) => name === '' || name.length > MAX_NAME_LENGTH],
  ['must not hold control characters', (name) => /\p{Cc}/u.test(name)],
  ["must not hold '/' or ':'", (name) => /[/:]/.test(name)],
  ['must not begin or end with white space', (name) => name.trim() !== name],
  ["must not be '.' or '..'", (name) => name === '.' || name === '..'],
  // The servers group by name on a plain object: '__proto__', 'constructor', 'toString' and the like answer 500.
  [
    "must not be a name of JavaScript's own objects: Infisical cannot hold it",
    (name) => name in Object.prototype,
  ],
];

/** A name that this generation cannot write, since the path of its secret is that of another route. @throws InvalidRequest */
export function requireWritableName(dialect: Dialect, name: string, isNew: boolean): void {
  if (dialect.routesOfNames.includes(name) || (isNew && dialect.routesOfNewNames.includes(name)))
    throw new InvalidRequest('name', `must not be '${name}': Infisical has a route of that name`);
}

/** What a caller learns of a name that passed our rules, but not those of the server, which only its answer tells. */
export function refusedName(name: string): InvalidRequest {
  const rule = / /.test(name) ? 'must not hold spaces' : 'must be one that Infisical takes';
  return new InvalidRequest('name', `${rule}: this server refuses it`);
}

/** Before anything is sent: a name that Infisical would trim, route elsewhere or break on. @throws InvalidRequest */
export function requireHoldableName(name: string): void {
  const broken = RULES.find(([, isBroken]) => isBroken(name));
  if (broken !== undefined) throw new InvalidRequest('name', broken[0]);
}
