import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import { RefusedFile } from './refused-file';

/** Parses one YAML 1.2 document with the core schema and nothing beyond it. Never throws for what is in the text. */
export function readYaml(text: string, lineCounter?: LineCounter): Document.Parsed {
  return parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    // Checked where it matters, by plainValue(): conditional branches elsewhere may well state a key twice.
    uniqueKeys: false,
    prettyErrors: false,
    ...(lineCounter ? { lineCounter } : {}),
  });
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
