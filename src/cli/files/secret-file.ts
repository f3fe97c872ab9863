import { parse as parseDotenv } from 'dotenv';
import { isMap, isScalar, LineCounter, parseDocument, stringify } from 'yaml';
import type { Secret } from '../../client/index.js';
import { CLOSE_LIST, CLOSE_OBJECT, COMMA, endOfString, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../../json/json';
import { isSecretName, isSecretValue, NAME_RULE, VALUE_RULE } from '../../secrets/secret';
import { CommandFailure } from '../console';

/** The texts in which secrets are kept in a file. An archive is an encrypted `json`. */
export type TextFormat = 'dotenv' | 'json' | 'yaml';

/** What a text states, in its order: a name may be stated twice, and a value may be anything. */
type Entries = readonly (readonly [name: string, value: unknown])[];

/** Ends a parse. No reason repeats anything of the text but names of secrets. */
class UnreadableText extends Error {
  constructor(
    readonly reason: string,
    readonly line?: number,
  ) {
    super(reason);
  }
}

const PARSERS: Readonly<Record<TextFormat, (text: string) => Entries>> = {
  dotenv: dotenvEntries,
  json: jsonEntries,
  yaml: yamlEntries,
};

/**
 * Returns the secrets that a text states.
 * @param source names it in sentences
 * @throws CommandFailure: 3 where it is not of the format, 1 where it states what the service would not take, with all such names
 */
export function parseSecrets(format: TextFormat, text: string, source: string): readonly Secret[] {
  let entries: Entries;
  try {
    entries = PARSERS[format](text.replace(/^\ufeff/, ''));
  } catch (error: unknown) {
    const { reason, line } =
      error instanceof UnreadableText ? error : new UnreadableText('it cannot be parsed');
    const place = line === undefined ? source : `${source}:${line}`;
    throw new CommandFailure(3, `${place} is not ${format} as it must be: ${reason}.`);
  }
  const names = new Set<string>();
  const problems: string[] = [];
  for (const [name, value] of entries) {
    const problem = names.has(name) ? 'is stated twice' : problemOf(name, value);
    if (problem !== undefined) problems.push(`${JSON.stringify(name)} ${problem}`);
    names.add(name);
  }
  if (problems.length > 0) throw refusal(`${source} is refused, and nothing was stored`, problems);
  return entries.map(([name, value]) => ({ name, value: String(value) }));
}

function problemOf(name: string, value: unknown): string | undefined {
  if (!isSecretName(name)) return `cannot be a name: it ${NAME_RULE}`;
  if (typeof value !== 'string') return 'has a value that is not text; text stands in quotes';
  return isSecretValue(value) ? undefined : `has a value that is refused: it ${VALUE_RULE}`;
}

function refusal(what: string, problems: readonly string[]): CommandFailure {
  return new CommandFailure(1, `${what}:\n${problems.map((problem) => `  ${problem}.`).join('\n')}`);
}

const WRITERS: Readonly<Record<TextFormat, (secrets: readonly Secret[]) => string>> = {
  dotenv: (secrets) => secrets.map((secret) => `${dotenvLine(secret) ?? ''}\n`).join(''),
  json: (secrets) => {
    const lines = secrets.map(({ name, value }) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    return lines.length === 0 ? '{}\n' : `{\n${lines.join(',\n')}\n}\n`;
  },
  yaml: (secrets) => stringify(new Map(secrets.map(({ name, value }) => [name, value])), YAML_TEXT),
};

/**
 * Returns the text that states these secrets, byte for byte: it is read again before it is returned.
 * @throws CommandFailure (1), which names each secret that the format cannot hold
 */
export function formatSecrets(format: TextFormat, secrets: readonly Secret[]): string {
  const impossible = format === 'dotenv' ? secrets.filter((secret) => dotenvLine(secret) === undefined) : [];
  if (impossible.length > 0) throw cannotHold(format, impossible);
  const text = WRITERS[format](secrets);
  const read = new Map(PARSERS[format](text));
  const changed = secrets.filter(({ name, value }) => read.get(name) !== value);
  if (changed.length > 0) throw cannotHold(format, changed);
  return text;
}

function cannotHold(format: TextFormat, secrets: readonly Secret[]): CommandFailure {
  const problems = secrets.map(({ name }) => `${JSON.stringify(name)} cannot be written as ${format}`);
  return refusal('Nothing was written, but json, yaml and age hold every secret', problems);
}

/** A line that says nothing. */
const BLANK = /[ \t]*(?:#[^\n]*)?(?:\n|$)/y;
/** What dotenv and shells take for the same: a # within a value would begin a comment for some of them, and is in quotes. */
const ASSIGNMENT =
  /[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(?:(?:'[^']*'|"(?:\\[^]|[^"\\])*"|`[^`]*`)[ \t]*|[^\s#'"`][^\n#]*)?(?:(?<=[\s='"`])#[^\n]*)?(?:\n|$)/y;

/**
 * The values are those that the library dotenv reads; this finds what it would pass over in silence. Its other parser takes the square
 * of the time for a file of blank lines, and this one for lines that are refused here before it sees them.
 */
function dotenvEntries(source: string): Entries {
  const text = source.replace(/\r\n?/g, '\n');
  const found: { readonly name: string; readonly at: number }[] = [];
  for (let at = 0; at < text.length;) {
    BLANK.lastIndex = ASSIGNMENT.lastIndex = at;
    const isBlank = BLANK.test(text);
    const name = isBlank ? undefined : ASSIGNMENT.exec(text)?.[1];
    if (name !== undefined) found.push({ name, at });
    else if (!isBlank) throw notAssigned(text, at);
    at = isBlank ? BLANK.lastIndex : ASSIGNMENT.lastIndex;
  }
  const values = parseDotenv(text, { fast: true });
  const passedOver = found.find(({ name }) => !Object.hasOwn(values, name));
  if (passedOver) throw notAssigned(text, passedOver.at);
  const names = found.map(({ name }) => name);
  if (new Set(names).size !== Object.keys(values).length)
    throw new UnreadableText('its quotes can be read in two ways');
  return names.map((name) => [name, values[name]]);
}

function notAssigned(text: string, at: number): UnreadableText {
  return new UnreadableText(
    'a line must be NAME=value, and a value with a quote or a # in it stands in quotes',
    text.slice(0, at).split('\n').length,
  );
}

/** Returns undefined for what readers of dotenv files, shells among them, take for different values. */
function dotenvLine({ name, value }: Secret): string | undefined {
  // The library's object cannot hold a name that is __proto__.
  if (!/^[\w.-]+$/.test(name) || name === '__proto__' || value.includes('\r')) return undefined;
  if (/^[\w./:@%+,=-]+$/.test(value)) return `${name}=${value}`;
  if (!value.includes("'") && !value.endsWith('\\')) return `${name}='${value}'`;
  return /["$`\\]/.test(value) ? undefined : `${name}="${value}"`;
}

function jsonEntries(text: string): Entries {
  const value = parsedJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UnreadableText('it must be an object of names and values');
  const stated = value as Readonly<Record<string, unknown>>;
  // JSON.parse() keeps the last of several equal names.
  return keysIn(Buffer.from(text))
    .filter((name) => Object.hasOwn(stated, name))
    .map((name) => [name, stated[name]]);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error: unknown) {
    // The rest of its message repeats a part of the text.
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    const line = position === undefined ? undefined : text.slice(0, Number(position)).split('\n').length;
    throw new UnreadableText('it is no JSON', line);
  }
}

/** Returns the keys of the outermost object of a JSON text, in order. */
function keysIn(bytes: Buffer): readonly string[] {
  const keys: string[] = [];
  let [depth, isKey] = [0, false];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth += 1;
    if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth -= 1;
    if (depth === 1 && (byte === OPEN_OBJECT || byte === COMMA)) isKey = true;
    if (byte !== QUOTE) continue;
    const end = endOfString(bytes, at);
    if (depth === 1 && isKey) keys.push(JSON.parse(bytes.toString('utf8', at, end + 1)) as string);
    [at, isKey] = [end, false];
  }
  return keys;
}

/** Each name and value in the quotes of JSON, which leave nothing to guess. */
const YAML_TEXT = {
  version: '1.2',
  schema: 'core',
  lineWidth: 0,
  defaultStringType: 'QUOTE_DOUBLE',
  defaultKeyType: 'QUOTE_DOUBLE',
  doubleQuotedAsJSON: true,
} as const;

function yamlEntries(text: string): Entries {
  const lineCounter = new LineCounter();
  const lineOf = (offset = 0): number => lineCounter.linePos(offset).line;
  const options = { version: '1.2', schema: 'core', merge: false, uniqueKeys: false } as const;
  const { contents, errors } = parseDocument(text, { ...options, prettyErrors: false, lineCounter });
  const [error] = errors;
  if (error) throw new UnreadableText(`it is no YAML (${error.code})`, lineOf(error.pos[0]));
  if (contents === null) return [];
  if (!isMap(contents)) throw new UnreadableText('it must be a mapping of names to values');
  return contents.items.map(({ key, value }) => {
    const name = textIn(key);
    if (name === undefined)
      throw new UnreadableText(
        'a name must be text, so that true, null and numbers stand in quotes',
        lineOf(isScalar(key) ? key.range?.[0] : undefined),
      );
    return [name, textIn(value)];
  });
}

/** Returns undefined for anything but text: numbers, lists, aliases, what has a tag of its own. */
function textIn(node: unknown): string | undefined {
  if (!isScalar(node) || typeof node.value !== 'string') return undefined;
  return node.tag === undefined || node.tag === 'tag:yaml.org,2002:str' ? node.value : undefined;
}
