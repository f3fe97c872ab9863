import { parseFailure } from './calls';

/** The secret that was sent, of which nothing may be shown. */
export interface SentSecret {
  readonly name?: string | undefined;
  /** The value in the form that is stored. */
  readonly value?: string | undefined;
}

const MAX_CHARS = 300;
const MAX_ISSUES = 3;
/** A text that shares so many letters and digits in a row with the value may show a part of it. */
const MIN_SHARED_CHARS = 4;
const NAME = '<name>';
const OTHER = '…';
/** Ordinary words and small numbers, but no ids, keys or words joined by a dash: values of other secrets may look like those. */
const ORDINARY =
  /^["'“‘(]*(?:<name>|[A-Za-z][a-z]{0,19}|[A-Z]{2,16}|[a-z]{2,12}[A-Z][a-z]{2,12}|[A-Za-z]{1,16}['’][a-z]{1,2}|\d{1,6})["'”’).,:;!?]*$/;

/**
 * Returns Infisical's message about a request that it refused, safe for the log and for the caller: without the secret's name and without
 * words that could be a key or an id. Returns undefined where the text could hold a part of the value, or says nothing.
 */
export function refusalSentence(body: unknown, { name, value }: SentSecret): string | undefined {
  const text = textIn(body);
  if (text === '' || text.length > MAX_CHARS || (value !== undefined && mayHold(text, value)))
    return undefined;
  const words = withoutName(text, name).split(' ');
  const shown = words.map((word) => (ORDINARY.test(word) ? word : OTHER));
  const ordinary = shown.filter((word) => word !== OTHER).length;
  return ordinary >= 2 && 2 * ordinary >= words.length ? shown.join(' ') : undefined;
}

/**
 * Returns Infisical's message for an operator. Words that could be a part of a secret, an id or a key are left out, unless the operator
 * gave them openly. Returns undefined where nothing of the message is left.
 */
export function operatorSentence(
  body: unknown,
  { secrets, open }: { readonly secrets: readonly string[]; readonly open: readonly string[] },
): string | undefined {
  const text = textIn(body).slice(0, MAX_CHARS);
  const words = text === '' ? [] : text.split(' ');
  const isOpen = (word: string) => open.includes(word.replace(/^["'(]+|["').,:;!?]+$/g, ''));
  const isSecret = (word: string) => secrets.some((secret) => mayHold(word, secret));
  const shown = words.map((word) =>
    !isSecret(word) && (isOpen(word) || ORDINARY.test(word)) ? word : OTHER,
  );
  return shown.some((word) => word !== OTHER) ? shown.join(' ') : undefined;
}

/** Returns the message, or the fields and messages of a list of issues, in one line. */
function textIn(body: unknown): string {
  const { message, issues } = parseFailure(body);
  const said = issues.slice(0, MAX_ISSUES).filter((issue) => !issue.endsWith(': '));
  return (message === '' ? said.join('; ') : message).replace(/\s+/g, ' ').trim();
}

/** Returns whether the text may hold a part of the value, with its case, blanks or punctuation changed. */
function mayHold(text: string, value: string): boolean {
  const [said, secret] = [squashed(text), squashed(value)];
  if (secret === '') return value !== '' && text.includes(value.trim());
  if (secret.length <= MIN_SHARED_CHARS) return said.includes(secret);
  const parts = new Set<string>();
  for (let at = 0; at + MIN_SHARED_CHARS <= said.length; at++)
    parts.add(said.slice(at, at + MIN_SHARED_CHARS));
  for (let at = 0; at + MIN_SHARED_CHARS <= secret.length; at++)
    if (parts.has(secret.slice(at, at + MIN_SHARED_CHARS))) return true;
  return false;
}

function squashed(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

function withoutName(text: string, name: string | undefined): string {
  if (name === undefined || name === '') return text;
  const literal = name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${literal}(?![\\p{L}\\p{N}_])`, 'giu'), NAME);
}
