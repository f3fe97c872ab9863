import { InvalidRequest } from '../../errors/request-errors';
import { MAX_NAME_LENGTH } from '../../secrets/secret';

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

/** Before anything is sent: a name that Infisical would trim, route elsewhere or break on. @throws InvalidRequest */
export function requireHoldableName(name: string): void {
  const broken = RULES.find(([, isBroken]) => isBroken(name));
  if (broken !== undefined) throw new InvalidRequest('name', broken[0]);
}
