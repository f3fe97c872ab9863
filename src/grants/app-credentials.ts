import { isMap } from 'yaml';
import { APP_NAME, APP_NAME_RULE } from './app-name';
import { offsetOf, plainValue, readYaml } from './plain-yaml';
import { type Refusal, refusalOf, RefusedFile } from './refused-file';

/** What `app.yaml` states beside a manifest: for whom the app is installed, and how it proves itself. */
export interface AppCredentials {
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
}

const FIELDS = ['user', 'appKey', 'appSecret'] as const;

/** Strict, and silent about everything it read: no reason repeats a value, an unknown key or the parser's words. */
export function parseAppCredentials(text: string): AppCredentials | Refusal {
  try {
    return parse(text);
  } catch (error: unknown) {
    return refusalOf(error, text);
  }
}

function parse(text: string): AppCredentials {
  const document = readYaml(text);
  const [error] = document.errors;
  if (error) throw new RefusedFile(error.pos[0], 'not valid YAML');
  const root = document.contents;
  if (!isMap(root)) throw new RefusedFile(offsetOf(root), `must state ${FIELDS.join(', ')}`);
  const values = plainValue(root) as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(values).findIndex((key) => !FIELDS.some((field) => field === key));
  if (unknown !== -1) {
    throw new RefusedFile(
      offsetOf(root.items[unknown]?.key),
      `an unknown key; known are ${FIELDS.join(', ')}`,
    );
  }
  const [user, appKey, appSecret] = FIELDS.map((field) => {
    const at = offsetOf(root.get(field, true));
    const value = values[field];
    if (value === undefined) throw new RefusedFile(0, `${field} is missing`);
    if (typeof value !== 'string') throw new RefusedFile(at, `${field} must be text; put it in quotes`);
    if (value.trim() === '') throw new RefusedFile(at, `${field} is empty`);
    if (field === 'user' && !APP_NAME.test(value)) throw new RefusedFile(at, `user ${APP_NAME_RULE}`);
    return value;
  });
  return { user, appKey, appSecret } as AppCredentials;
}
