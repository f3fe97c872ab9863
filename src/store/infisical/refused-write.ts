import type { CallLabel } from './dialect';
import type { FailureReason } from './failure-reason';

/** What an operation sends that writes. */
const WRITES: ReadonlySet<CallLabel> = new Set([
  'createProject',
  'createEnvironment',
  'createSecret',
  'updateSecret',
  'deleteSecret',
]);

export interface FailedCall {
  readonly call: CallLabel;
  readonly reason: FailureReason;
  readonly status?: number | undefined;
}

/** Whether Infisical will not have this write, by a rule of the project's, say: to send it again is of no use. */
export function isRefusedWrite({ call, reason, status }: FailedCall): boolean {
  if (!WRITES.has(call)) return false;
  if (reason === 'notUnderstood' || reason === 'notInfisical') return status === 400 || status === 422;
  return reason === 'invalidRequest' || reason === 'tooLarge' || reason === 'environmentHeld';
}

/** What was sent, of which nothing may come back. */
export interface Sent {
  readonly name?: string;
  /** As it is stored. */
  readonly value?: string;
}

const MAX_CHARS = 300;
const MAX_ISSUES = 3;
/** So many letters and digits of a value in a row are taken for a part of it. */
const TELLING_CHARS = 4;
const NAME = '<name>';
const OTHER = '…';
/** An ordinary word or a small number. Ids and keys are none, nor are words that a dash joins: other secrets' values may look so. */
const ORDINARY =
  /^["'“‘(]*(?:<name>|[A-Za-z][a-z]{0,19}|[A-Z]{2,16}|[a-z]{2,12}[A-Z][a-z]{2,12}|[A-Za-z]{1,16}['’][a-z]{1,2}|\d{1,6})["'”’).,:;!?]*$/;

/**
 * Returns what Infisical says of a request that it refused, fit for the log and for the caller: the secret's name is left out, so are words
 * that could be a key or an id. Undefined where the text could hold the value or says nothing.
 */
export function refusalSentence(body: unknown, { name, value }: Sent): string | undefined {
  const text = textIn(body).replace(/\s+/g, ' ').trim();
  if (text === '' || text.length > MAX_CHARS || (value !== undefined && mayHold(text, value)))
    return undefined;
  const words = withoutName(text, name).split(' ');
  const shown = words.map((word) => (ORDINARY.test(word) ? word : OTHER));
  const ordinary = shown.filter((word) => word !== OTHER).length;
  return ordinary >= 2 && 2 * ordinary >= words.length ? shown.join(' ') : undefined;
}

/**
 * Returns what Infisical says to an operator: words that could be a part of a secret, an id or a key are left out, unless they are of what
 * the operator gave openly. Undefined where it says nothing, or little else.
 */
export function operatorSentence(
  body: unknown,
  { secrets, open }: { readonly secrets: readonly string[]; readonly open: readonly string[] },
): string | undefined {
  const text = textIn(body).replace(/\s+/g, ' ').trim().slice(0, MAX_CHARS);
  const words = text === '' ? [] : text.split(' ');
  const isOpen = (word: string) => open.includes(word.replace(/^["'(]+|["').,:;!?]+$/g, ''));
  const isSecret = (word: string) => secrets.some((secret) => mayHold(word, secret));
  const shown = words.map((word) =>
    !isSecret(word) && (isOpen(word) || ORDINARY.test(word)) ? word : OTHER,
  );
  return shown.some((word) => word !== OTHER) ? shown.join(' ') : undefined;
}

/** Of a list of issues, what is wrong with which field. */
function textIn(body: unknown): string {
  const message = fieldOf(body, 'message');
  if (typeof message === 'string') return message;
  if (!Array.isArray(message)) return '';
  return message
    .slice(0, MAX_ISSUES)
    .map((issue: unknown) => {
      const [path, said] = [fieldOf(issue, 'path'), fieldOf(issue, 'message')];
      return typeof said === 'string' ? `${Array.isArray(path) ? path.join('.') : ''}: ${said}` : '';
    })
    .filter((said) => said !== '')
    .join('; ');
}

function fieldOf(object: unknown, field: string): unknown {
  return typeof object === 'object' && object !== null
    ? (object as Record<string, unknown>)[field]
    : undefined;
}

/** Whatever was done to the case, the blanks or the punctuation on the way. */
function mayHold(text: string, value: string): boolean {
  const [said, secret] = [squashed(text), squashed(value)];
  if (secret === '') return value !== '' && text.includes(value.trim());
  if (secret.length <= TELLING_CHARS) return said.includes(secret);
  const parts = new Set<string>();
  for (let at = 0; at + TELLING_CHARS <= said.length; at++) parts.add(said.slice(at, at + TELLING_CHARS));
  for (let at = 0; at + TELLING_CHARS <= secret.length; at++)
    if (parts.has(secret.slice(at, at + TELLING_CHARS))) return true;
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
