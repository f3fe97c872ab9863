import { RefusedFile } from './plain-yaml';

/** One `{{ … }}` of Helm's template language. */
export interface TemplateAction {
  readonly start: number;
  /** The offset after the closing braces. */
  readonly end: number;
  /** open: if, with, range, define, block; silent: comments and assignments; output: everything else. */
  readonly kind: 'open' | 'else' | 'end' | 'silent' | 'output';
  /** Whether it may render text in its place. */
  readonly emits: boolean;
  /** `{{-` and `-}}` remove the white space beside them, line ends included. */
  readonly trimsBefore: boolean;
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
    actions.push({ start, end, kind, emits, trimsBefore, trimsAfter, group: group ?? start });
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
