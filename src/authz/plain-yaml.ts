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
  type YAMLError,
} from 'yaml';

/** Why a whole file is not accepted. The reason never repeats a value. */
export interface Refusal {
  readonly refused: string;
  /** 1-based. */
  readonly line: number;
}

/** Ends a parse with a refusal; every parser catches its own and returns refusalOf() it. */
export class RefusedFile extends Error {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(reason);
    this.name = 'RefusedFile';
  }
}

/** Returns the parser's words for a fault, without what it quotes of the text: that may be all of it. */
export function faultOf({ code, message }: YAMLError): string {
  if (code === 'TAG_RESOLVE_FAILED') return 'a tag that means nothing here';
  if (code === 'BAD_DIRECTIVE') return 'a directive that means nothing here';
  if (code === 'BAD_DQ_ESCAPE') return 'an escape sequence that means nothing here';
  return copyOf(message.replace(/(?<=\w): .*/s, ''));
}

export function refusalOf(error: unknown, text: string): Refusal {
  if (error instanceof RefusedFile) return { refused: error.reason, line: lineAt(text, error.offset) };
  // The parser is recursive, so thousands of nested brackets overflow its stack. Whatever a file makes it throw affects
  // that file only.
  return { refused: `cannot be parsed (${error instanceof Error ? error.name : 'unknown'})`, line: 1 };
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Real manifests have up to 1,500. The cost of parsing depends on the number of tokens more than on the length. */
const MAX_TOKENS = 10_000;

/**
 * Parses one YAML 1.2 document with the core schema and nothing beyond it. Faults of the text are in the document's errors.
 * @throws RefusedFile where it has more tokens than any real manifest
 */
export function readYaml(text: string, lineCounter?: LineCounter): Document.Parsed {
  requireFewTokens(text, 0);
  return withoutStackTraces(() =>
    parseDocument(text, {
      version: '1.2',
      schema: 'core',
      merge: false,
      strict: true,
      // plainValue() checks it where it matters: conditional branches elsewhere may state a key twice.
      uniqueKeys: false,
      prettyErrors: false,
      ...(lineCounter ? { lineCounter } : {}),
    }),
  );
}

/**
 * Counts the tokens of a text. @param before the count of other parts of the file
 * @returns the sum of both counts
 * @throws RefusedFile where it is too large
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

/** The parser makes an Error for each fault, and would spend most of its time on their stack traces. */
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
 * Returns the value of a node. Its objects have no prototype, so `__proto__` is a key like any other.
 * @throws RefusedFile for an alias, anchor, tag, merge key or repeated key
 */
export function plainValue(node: unknown): unknown {
  if (node === null || node === undefined) return null;
  if (!isNode(node)) throw new RefusedFile(0, 'not a YAML node');
  requireUndecorated(node);
  if (isScalar(node)) return typeof node.value === 'string' ? copyOf(node.value) : node.value;
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

/** A part of a text refers to all of it, as V8 keeps it: a name would hold its manifest for as long as it is known itself. */
function copyOf(part: string): string {
  return Buffer.from(part).toString();
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
