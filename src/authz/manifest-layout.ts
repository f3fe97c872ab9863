import { RefusedFile } from './plain-yaml';

/** One `{{ … }}` of Helm's template language. */
interface TemplateAction {
  readonly start: number;
  /** The offset after the closing braces. */
  readonly end: number;
  /** open: if, with, range, define, block; silent: comments and assignments; output: everything else. */
  readonly kind: 'open' | 'else' | 'end' | 'silent' | 'output';
  /** Whether it may render text in its place. */
  readonly emits: boolean;
  /** `-}}` removes the white space after it, line ends included. */
  readonly trimsAfter: boolean;
  /** The start of the action that opened the control structure to which this one belongs. */
  readonly group: number;
}

/** The lines of a top-level entry of a manifest, from its key up to the next one. */
export interface TopLevelBlock {
  /** undefined where the line is not a plain `key:`. */
  readonly key: string | undefined;
  readonly start: number;
  readonly end: number;
}

export interface ManifestLayout {
  readonly actions: readonly TemplateAction[];
  readonly blocks: readonly TopLevelBlock[];
  /** The text with its directives masked character by character, so that every offset still holds. */
  readonly masked: string;
}

/** Replaces each character of a directive. YAML does not allow it, so no file that we accept contains it. */
export const MASK = '\u0001';

const MASKED_LINE = new RegExp(`^[ \\t${MASK}]+$`, 'gm');

/** Characters that YAML does not allow, and a carriage return that only some readers take as a line end. */
const UNPRINTABLE = /[^\t\n\r\u0020-\u007e\u0085\u00a0-\uffff]|\r(?!\n)/;

const PLAIN_KEY = /^([A-Za-z_][\w.-]*)[ \t]*:(?=\s|$)/;

/**
 * Finds the top-level blocks of a manifest by its lines. A line that begins at column 0 with anything but a comment or a
 * list dash always begins a new entry of a block mapping: YAML allows no scalar and no bracket of an entry to go on
 * there. So a block can be separated from its neighbours whatever a template does to those.
 * @throws RefusedFile
 */
export function layOut(text: string): ManifestLayout {
  const unprintable = text.search(UNPRINTABLE);
  if (unprintable !== -1) throw new RefusedFile(unprintable, 'a control character');
  const actions = scanTemplate(text);
  const masked = mask(text, actions);
  return { actions, masked, blocks: topLevelBlocks(masked) };
}

/** Real manifests have up to thirty. Each may cost the parsing of a whole block. */
const MAX_ACTIONS = 200;

const OPENERS = new Set(['if', 'with', 'range', 'define', 'block']);
const ASSIGNMENT = /^\$\w*(\s*,\s*\$\w+)?\s*:?=/;
/** A string, a raw string or a character, whose braces do not count; the closing braces; anything else. */
const TOKEN = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*'|\}\}|\}|[^"'`}]+/gy;

/** Returns every action of a text, in order. @throws RefusedFile where Helm could not render the template */
function scanTemplate(text: string): readonly TemplateAction[] {
  const actions: TemplateAction[] = [];
  const open: number[] = [];
  for (let start = text.indexOf('{{'); start !== -1;) {
    if (actions.length === MAX_ACTIONS) {
      throw new RefusedFile(start, `more than ${MAX_ACTIONS} template directives`);
    }
    const end = endOfAction(text, start);
    const trimsBefore = text.startsWith('{{-', start);
    const trimsAfter = text.startsWith('-}}', end - 3);
    const body = text.slice(start + (trimsBefore ? 3 : 2), end - (trimsAfter ? 3 : 2)).trim();
    const kind = kindOf(body);
    const emits = kind === 'output' || body.startsWith('block');
    if (kind === 'open') open.push(start);
    const group = open.at(-1);
    if (group === undefined && (kind === 'else' || kind === 'end')) {
      throw new RefusedFile(start, `{{ ${kind} }} without an {{ if }}`);
    }
    actions.push({ start, end, kind, emits, trimsAfter, group: group ?? start });
    if (kind === 'end') open.pop();
    start = text.indexOf('{{', end);
  }
  const unclosed = open.at(-1);
  if (unclosed !== undefined) throw new RefusedFile(unclosed, 'a template directive without its {{ end }}');
  return actions;
}

function endOfAction(text: string, start: number): number {
  const comment = /\{\{(?:-\s+)?\/\*/y;
  comment.lastIndex = start;
  if (comment.test(text)) {
    const closing = /\*\/(?:\s+-)?\}\}/g;
    closing.lastIndex = comment.lastIndex;
    if (closing.test(text)) return closing.lastIndex;
    throw new RefusedFile(start, 'a {{ that is never closed');
  }
  TOKEN.lastIndex = start + 2;
  for (let token = TOKEN.exec(text); token !== null; token = TOKEN.exec(text)) {
    if (token[0] === '}}') return TOKEN.lastIndex;
  }
  throw new RefusedFile(start, 'a {{ that is never closed');
}

function kindOf(body: string): TemplateAction['kind'] {
  if (body.startsWith('/*') || ASSIGNMENT.test(body)) return 'silent';
  const word = /^[a-z]+/.exec(body)?.[0] ?? '';
  if (word === 'else' || word === 'end') return word;
  return OPENERS.has(word) ? 'open' : 'output';
}

/** Masks the directives; a line of nothing but directives becomes blank, as it is when rendered. */
function mask(text: string, actions: readonly TemplateAction[]): string {
  const pieces: string[] = [];
  let from = 0;
  for (const { start, end } of actions) {
    pieces.push(text.slice(from, start), MASK.repeat(end - start));
    from = end;
  }
  pieces.push(text.slice(from));
  return pieces.join('').replace(MASKED_LINE, (line) => ' '.repeat(line.length));
}

function topLevelBlocks(masked: string): readonly TopLevelBlock[] {
  const starts = [...masked.matchAll(/^(?![ \t\r\n#]|-[ \t\r\n]|-$)[^\n]/gm)].map((match) => match.index);
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? masked.length;
    if (masked.startsWith(MASK, start)) {
      throw new RefusedFile(start, 'a template directive shares a line with a top-level key');
    }
    return { key: PLAIN_KEY.exec(masked.slice(start, end))?.[1], start, end };
  });
}

/** Whole lines of a templated file; `end` is after the last character that counts, before its line end. */
export interface Region {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  /** The indentation of its first key. */
  readonly column: number;
}

/**
 * Requires that a region is plain: every rendering of the file contains exactly these lines, followed by nothing that
 * could continue them. That is so when it contains no directive and is in no control structure, when no directive beside it
 * removes the line ends that separate it from its neighbours, and when nothing rendered right after it could be its next line.
 * @throws RefusedFile
 */
export function requirePlain(text: string, actions: readonly TemplateAction[], region: Region): void {
  const { what, start, end } = region;
  const inside = actions.find((action) => action.start >= start && action.start < end);
  if (inside) throw new RefusedFile(inside.start, `${what} contains a template directive`);

  const opener = openerAt(actions, start);
  if (opener !== undefined) {
    throw new RefusedFile(opener, `${what} stands inside a template directive, so it is conditional`);
  }
  const before = actions.filter((action) => action.end <= start).at(-1);
  if (before?.trimsAfter && text.slice(before.end, start).trim() === '') {
    throw new RefusedFile(before.start, `a -}} right before ${what} joins it with the line above`);
  }
  requireCleanFollower(text, actions, region);
}

/** Returns the start of the innermost control structure that is open at an offset. */
function openerAt(actions: readonly TemplateAction[], offset: number): number | undefined {
  const open: number[] = [];
  for (const action of actions) {
    if (action.start >= offset) break;
    if (action.kind === 'open') open.push(action.start);
    if (action.kind === 'end') open.pop();
  }
  return open.at(-1);
}

/**
 * Follows every path that a rendering can take from the end of the region to the next text, which must begin a line of its
 * own that is indented no deeper than the region.
 */
function requireCleanFollower(text: string, actions: readonly TemplateAction[], region: Region): void {
  const byStart = new Map(actions.map((action) => [action.start, action]));
  const exitsOf = exitsIn(actions);
  const first = byStart.get(endOfGap(text, region.end));
  const pending = first ? [first] : [];
  const seen = new Set(pending);
  for (const action of pending) {
    if (action.emits) throw couldContinue(action, region);
    for (const exit of exitsOf(action)) {
      const at = exit.trimsAfter ? endOfSpace(text, exit.end) : endOfGap(text, exit.end);
      const next = byStart.get(at);
      if (next && !seen.has(next)) {
        seen.add(next);
        pending.push(next);
      }
      if (!next && !startsOwnLine(text, exit, at, region.column)) throw couldContinue(exit, region);
    }
  }
}

function couldContinue({ start }: TemplateAction, { what }: Region): RefusedFile {
  return new RefusedFile(start, `a template directive right after ${what} could continue it`);
}

/**
 * Returns a function that says where a rendering that reached an action may go on: after it, or for a control structure
 * after any action of it. Those of one structure are returned once.
 */
function exitsIn(actions: readonly TemplateAction[]): (action: TemplateAction) => readonly TemplateAction[] {
  const groups = new Map<number, TemplateAction[]>();
  for (const action of actions) {
    const group = groups.get(action.group) ?? [];
    group.push(action);
    groups.set(action.group, group);
  }
  return (action) => {
    if (action.kind === 'silent') return [action];
    const exits = groups.get(action.group) ?? [];
    groups.delete(action.group);
    return exits;
  };
}

/** Returns whether the text at an offset begins a line of its own after the directive, indented no deeper than `column`. */
function startsOwnLine(text: string, exit: TemplateAction, at: number, column: number): boolean {
  if (at === text.length) return true;
  const lineStart = text.lastIndexOf('\n', at - 1) + 1;
  return !exit.trimsAfter && lineStart >= exit.end && at - lineStart <= column;
}

function endOfSpace(text: string, from: number): number {
  const space = /[ \t\r\n]*/y;
  space.lastIndex = from;
  space.test(text);
  return space.lastIndex;
}

/** Returns the offset after white space and comments, but not after a directive. */
function endOfGap(text: string, from: number): number {
  const gap = /[ \t]*(?:\r?\n(?:[ \t]*#(?:(?!\{\{).)*)?[ \t]*)*/y;
  gap.lastIndex = from;
  return gap.test(text) ? gap.lastIndex : from;
}
