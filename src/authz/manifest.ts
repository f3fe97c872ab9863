import {
  faultOf,
  readYaml,
  requireFewTokens,
  RefusedFile,
  offsetOf,
  plainValue,
  type Refusal,
  refusalOf,
} from './plain-yaml';
import { isCollection, isMap, isNode, isScalar, LineCounter, type Pair, type YAMLMap } from 'yaml';
import { APP_NAME, APP_NAME_RULE, type Grant, grantKey, SERVICE_ACCOUNT_NAME } from './grant';
import {
  layOut,
  type ManifestLayout,
  MASK,
  type Region,
  requirePlain,
  type TopLevelBlock,
} from './manifest-layout';
import { parseSysData, type SysDataGrants, type SysDataWarning } from './sys-data';

export interface ManifestWarning {
  readonly line: number;
  readonly reason: string;
}

export interface Manifest {
  /** `metadata.name`. */
  readonly app: string;
  readonly grants: readonly Grant[];
  /** The 1-based line of each grant by its grantKey(); of one that is stated twice, the first. */
  readonly lines: ReadonlyMap<string, number>;
  readonly warnings: readonly ManifestWarning[];
  /** `permission.serviceAccount`, as which the app's pods run; `default` where it states none that can exist. */
  readonly serviceAccount: string;
}

const DEFAULT_SERVICE_ACCOUNT = 'default';

/** A manifest that is accepted, with the places of what it states. */
interface ManifestReading {
  readonly app: string;
  readonly serviceAccount: unknown;
  /** `permission.sysData` as it stands there. */
  readonly sysData: unknown;
  readonly stated: SysDataGrants;
  /** Returns where a path below `sysData` begins, and the offset behind its end; the permission's key where there is no such path. */
  readonly rangeOf: (path: SysDataWarning['path']) => readonly [begin: number, end: number];
  readonly lineAt: (offset: number) => number;
}

/**
 * Parses OlaresManifest.yaml as a developer writes it, Helm directives included, or as Helm rendered it. It is accepted
 * where metadata.name and the permission block are plain, that is, the same in every rendering, and refused as a whole otherwise.
 */
export function parseManifest(source: string): Manifest | Refusal {
  const text = textOf(source);
  try {
    return parse(text);
  } catch (error: unknown) {
    return refusalOf(error, text);
  }
}

/** Returns a manifest without its byte order mark, from which no offset counts. */
export function textOf(source: string): string {
  return source.replace(/^\ufeff/, '');
}

function parse(text: string): Manifest {
  const { app, stated, serviceAccount, rangeOf, lineAt } = readManifest(text);
  const lineOf = (path: SysDataWarning['path']): number => lineAt(rangeOf(path)[0]);
  // Of two entries with one key a Map keeps the latter.
  const lines = stated.grants.map(
    ({ operation, workspace }, at) =>
      [grantKey(operation, workspace), lineOf(stated.paths[at] ?? [])] as const,
  );
  return {
    app,
    grants: stated.grants,
    lines: new Map(lines.reverse()),
    serviceAccount:
      typeof serviceAccount === 'string' && SERVICE_ACCOUNT_NAME.test(serviceAccount)
        ? serviceAccount
        : DEFAULT_SERVICE_ACCOUNT,
    warnings: stated.warnings.map(({ path, reason }) => ({ line: lineOf(path), reason })),
  };
}

/** @throws RefusedFile, and whatever a hostile file makes the YAML parser throw: refusalOf() takes both */
export function readManifest(source: string): ManifestReading {
  // White space to regular expressions and trim(), content to YAML and to templates: none of it is left from here on.
  const text = source.replace(/[^\S \t\n\v\f\r]/g, '\ufffd');
  const layout = layOut(text);
  const permissionBlock = blockOf(layout, 'permission');
  if (permissionBlock) requirePlain(text, layout.actions, contentOf(layout, permissionBlock));
  const metadataBlock = blockOf(layout, 'metadata');

  const lines = new LineCounter();
  const document = readYaml(withoutTemplatedBlocks(layout), lines);
  const [error] = document.errors;
  if (error) throw new RefusedFile(error.pos[0], `not valid YAML: ${faultOf(error)}`);
  const root = document.contents;
  if (!isMap(root) || root.flow)
    throw new RefusedFile(offsetOf(root), 'the file must be a YAML block mapping');

  const app = appName(text, layout, entry(root, 'metadata', metadataBlock));
  const permission = entry(root, 'permission', permissionBlock);
  const value = plainValue(permission?.value);
  if (value !== null && !isMap(permission?.value))
    throw new RefusedFile(offsetOf(permission?.key), 'permission must be a mapping');
  const { sysData, serviceAccount } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const stated = parseSysData(sysData, app);
  if ('refused' in stated)
    throw new RefusedFile(offsetOf(permission?.key), `permission.sysData states ${stated.refused}`);
  const nodeAt = nodesBelow(isMap(permission?.value) ? permission.value.get('sysData', true) : undefined);
  const rangeOf = (path: SysDataWarning['path']): readonly [number, number] => {
    const node = nodeAt(path) ?? permission?.key;
    return [offsetOf(node), isNode(node) ? (node.range?.[1] ?? 0) : 0];
  };
  return { app, serviceAccount, sysData, stated, rangeOf, lineAt: (offset) => lines.linePos(offset).line };
}

/** The blocks that are read, and therefore never removed. */
const READ_BLOCKS = new Set(['metadata', 'permission']);

/** Replaces a directive inside a line, where it renders to some text. */
const PLACEHOLDER = 'x';

/**
 * Returns the masked text as YAML, with all offsets unchanged. Templated blocks that we do not read become bare keys:
 * with all of their branches side by side they need not be YAML.
 * @throws RefusedFile
 */
function withoutTemplatedBlocks({ actions, blocks, masked }: ManifestLayout): string {
  const pieces: string[] = [];
  let [from, at, tokens] = [0, 0, 0];
  for (const { key, start, end } of blocks) {
    // Blocks and actions are both in order.
    while ((actions[at]?.end ?? Infinity) <= start) at += 1;
    if ((actions[at]?.start ?? Infinity) >= end) continue;
    const block = masked.slice(start, end);
    if (/^(---|\.\.\.)\s*$/.test(block) || (key !== undefined && READ_BLOCKS.has(key))) continue;
    if (key === undefined) throw new RefusedFile(start, 'a templated line that is not a plain top-level key');
    const readable = block.replaceAll(MASK, PLACEHOLDER);
    tokens = requireFewTokens(readable, start, tokens);
    requireClosed(readable, start);
    const body = start + block.indexOf(':') + 1;
    pieces.push(masked.slice(from, body), blankOf(masked.slice(body, end)));
    from = end;
  }
  pieces.push(masked.slice(from));
  return pieces.join('').replaceAll(MASK, PLACEHOLDER);
}

function blankOf(text: string): string {
  return text.replace(/[^\r\n]+/g, (line) => ' '.repeat(line.length));
}

/** A lenient reader could take the blocks below into a quote or a bracket that is left open. @throws RefusedFile */
function requireClosed(block: string, start: number): void {
  const { errors } = readYaml(block);
  const unclosed = errors.find(({ message }) => /^Missing closing|end with a/.test(message));
  if (unclosed) throw new RefusedFile(start + unclosed.pos[0], `not valid YAML: ${faultOf(unclosed)}`);
}

/** Finds nodes by their paths, and each step of a path once: thousands of paths lead through the same maps. */
function nodesBelow(root: unknown): (path: SysDataWarning['path']) => unknown {
  const found = new Map<string, unknown>();
  const nodeAt = (path: SysDataWarning['path']): unknown => {
    const last = path.at(-1);
    if (last === undefined) return root;
    const name = path.join('/');
    if (!found.has(name)) {
      const parent = nodeAt(path.slice(0, -1));
      found.set(name, isCollection(parent) ? parent.get(last, true) : undefined);
    }
    return found.get(name);
  };
  return nodeAt;
}

function blockOf({ blocks }: ManifestLayout, key: string): TopLevelBlock | undefined {
  return blocks.find((block) => block.key === key);
}

/** Returns a block without the blank lines, comments and directives that follow its last line. */
function contentOf({ masked }: ManifestLayout, { key = '', start, end }: TopLevelBlock): Region {
  const lines = masked.slice(start, end).split('\n');
  const last = lines.findLastIndex((line) => !/^\s*(#|$)/.test(line));
  const content = lines
    .slice(0, last + 1)
    .join('\n')
    .trimEnd();
  return { what: `the ${key} block`, start, end: start + content.length, column: 0 };
}

/** Returns a top-level entry, which must be the block that its lines showed. @throws RefusedFile */
function entry(root: YAMLMap, name: string, block: TopLevelBlock | undefined): Pair | undefined {
  const [pair, second] = root.items.filter(({ key }) => isScalar(key) && key.value === name);
  if (second) throw new RefusedFile(offsetOf(second.key), `${name} is stated twice`);
  if (pair && offsetOf(pair.key) !== block?.start) {
    throw new RefusedFile(
      offsetOf(pair.key),
      `${name} must be written as a plain key at the start of a line`,
    );
  }
  return pair;
}

function appName(text: string, layout: ManifestLayout, metadata: Pair | undefined): string {
  const fields = isMap(metadata?.value) ? metadata.value.items : [];
  const [pair, second] = fields.filter(({ key }) => isScalar(key) && key.value === 'name');
  if (second) throw new RefusedFile(offsetOf(second.key), 'metadata.name is stated twice');
  const block = offsetOf(metadata?.key);
  if (!pair) throw new RefusedFile(block, 'metadata.name is missing');
  const what = 'metadata.name';
  requirePlain(text, layout.actions, { what, start: block, end: block, column: 0 });
  requirePlain(text, layout.actions, { what, ...linesOf(text, pair) });
  const name = plainValue(pair.value);
  if (typeof name !== 'string') throw new RefusedFile(offsetOf(pair.key), `${what} must be text`);
  if (!APP_NAME.test(name)) throw new RefusedFile(offsetOf(pair.key), `${what} ${APP_NAME_RULE}`);
  return name;
}

function linesOf(text: string, { key, value }: Pair): Omit<Region, 'what'> {
  const keyAt = offsetOf(key);
  const start = text.lastIndexOf('\n', keyAt) + 1;
  const lineEnd = text.indexOf('\n', isScalar(value) ? (value.range?.[1] ?? keyAt) : keyAt);
  return { start, end: lineEnd === -1 ? text.length : lineEnd, column: keyAt - start };
}
