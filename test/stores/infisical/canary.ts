import { inspect } from 'node:util';
import { Canaries } from '../../support/canaries';

const canaries = new Canaries();
export const CLIENT_SECRET = canaries.make('client secret');
/** Its spaces and its reference make it one that is stored escaped. */
export const VALUE = canaries.plant(
  'value',
  ` canary-value ${canaries.make('a part of the value')} ${'${X}'}`,
);
export const ECHO = `${CLIENT_SECRET} fake-token-x ${VALUE}`;

/** What no error and no log may hold beside the canaries: a bearer of the fake, or anything of axios. */
const FORBIDDEN = ['fake-token-', 'axios'];

/** Which of it can be found in something that was thrown, logged or answered, in any form and in fragments. */
export function leaksIn(thing: unknown): readonly string[] {
  const text = writtenDown(thing);
  return [...canaries.leaksIn(text), ...FORBIDDEN.filter((word) => text.toLowerCase().includes(word))];
}

/** In every way in which it may be: hidden fields, causes and stacks included. */
function writtenDown(thing: unknown): string {
  const shown = inspect(thing, { depth: null, showHidden: true, getters: true, maxStringLength: null });
  const asError = thing instanceof Error ? `${thing.message} ${thing.stack} ${inspect(thing.cause)}` : '';
  return `${shown} ${JSON.stringify(thing)} ${asError} ${String(thing)}`;
}
