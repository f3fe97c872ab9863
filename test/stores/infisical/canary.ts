import { inspect } from 'node:util';

export const CLIENT_SECRET = 'canary-client-secret';
/** Its spaces and its reference make it one that is stored escaped. */
export const VALUE = ' canary-value ${X}';
export const ECHO = `${CLIENT_SECRET} fake-token-x ${VALUE}`;
const ESCAPED = Buffer.from(VALUE).toString('base64').slice(0, 16);

/** What no error and no log may hold: the client secret, a bearer, a value in either form, or anything of axios. */
const FORBIDDEN = [CLIENT_SECRET, 'fake-token-', 'canary-value', ESCAPED, 'axios'];

/** Which of it can be found in something that was thrown, logged or answered. */
export function leaksIn(thing: unknown): string[] {
  const text = writtenDown(thing).toLowerCase();
  return FORBIDDEN.filter((canary) => text.includes(canary.toLowerCase()));
}

/** In every way in which it may be: hidden fields, causes and stacks included. */
function writtenDown(thing: unknown): string {
  const shown = inspect(thing, { depth: null, showHidden: true, getters: true, maxStringLength: null });
  const asError = thing instanceof Error ? `${thing.message} ${thing.stack} ${inspect(thing.cause)}` : '';
  return `${shown} ${JSON.stringify(thing)} ${asError} ${String(thing)}`;
}
