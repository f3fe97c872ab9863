import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  type LineCounter,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';

/** Why a whole file is not taken. The reason never repeats a value. */
export interface Refusal {
  readonly refused: string;
  /** 1-based. */
  readonly line: number;
}

/** Carries a refusal out of the depth of a parser; every parser catches its own. */
export class RefusedFile extends Error {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(reason);
    this.name = 'RefusedFile';
  }
}

export function refusalOf(error: unknown, text: string): Refusal {
  if (error instanceof RefusedFile) return { refused: error.reason, line: lineAt(text, error.offset) };
  // The parser is recursive, so thousands of nested brackets end its stack; and whatever else a file may bring
  // about in it costs that file only.
  return { refused: `cannot be parsed (${error instanceof Error ? error.name : 'unknown'})`, line: 1 };
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Real manifests have up to 1,500. What a text costs to parse goes by its tokens more than by its length. */
const MAX_TOKENS = 10_000;

/**
 * Parses one YAML 1.2 document with the core schema and nothing beyond it. What is wrong with the text is in the
 * document's errors.
 * @throws RefusedFile where it has more tokens than a manifest ever has
 */
export function readYaml(text: string, lineCounter?: LineCounter): Document.Parsed {
  requireFewTokens(text, 0);
  return withoutStackTraces(() =>
    parseDocument(text, {
      version: '1.2',
      schema: 'core',
      merge: false,
      strict: true,
      // Checked where it matters, by plainValue(): conditional branches elsewhere may well state a key twice.
      uniqueKeys: false,
      prettyErrors: false,
      ...(lineCounter ? { lineCounter } : {}),
    }),
  );
}

/**
 * @param before how many were counted elsewhere in the file
 * @returns how many there are with those
 * @throws RefusedFile
 */
export function requireFewTokens(text: string, startsAt: number, before = 0): number {
  let [count, offset] = [before, startsAt];
  for (const { length } of new Lexer().lex(text)) {
    count += 1;
    if (count > MAX_TOKENS) throw new RefusedFile(offset, `more than ${MAX_TOKENS} YAML tokens`);
    offset += length;
  }
  return count;
}

/** The parser makes an error of each fault that it finds, and most of the time would go into their stack traces. */
function withoutStackTraces<T>(parse: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return parse();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/**
 * The value of a node that says what it means where it stands: no alias, anchor, tag, merge key or repeated key.
 * Objects have no prototype, so `__proto__` is a key like any other.
 * @throws RefusedFile
 */
export function plainValue(node: unknown): unknown {
  if (node === null || node === undefined) return null;
  if (!isNode(node)) throw new RefusedFile(0, 'not a YAML node');
  requireUndecorated(node);
  if (isScalar(node)) return node.value;
  if (isSeq(node)) return node.items.map(plainValue);
  if (!isMap(node)) throw new RefusedFile(offsetOf(node), 'a YAML alias');
  const value = Object.create(null) as Record<string, unknown>;
  for (const { key, value: item } of node.items) {
    const name = plainKey(key, node);
    if (Object.hasOwn(value, name)) throw new RefusedFile(offsetOf(key), 'a key that is stated twice');
    value[name] = plainValue(item);
  }
  return value;
}

function plainKey(key: unknown, owner: Node): string {
  if (!isScalar(key) || typeof key.value !== 'string') {
    throw new RefusedFile(isNode(key) ? offsetOf(key) : offsetOf(owner), 'a key that is not text');
  }
  requireUndecorated(key);
  if (key.value === '<<') throw new RefusedFile(offsetOf(key), 'a YAML merge key');
  return key.value;
}

function requireUndecorated(node: Node): void {
  if ('anchor' in node && node.anchor !== undefined) throw new RefusedFile(offsetOf(node), 'a YAML anchor');
  if (node.tag !== undefined) throw new RefusedFile(offsetOf(node), 'a YAML tag');
}

export function offsetOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}
