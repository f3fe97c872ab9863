import { RefusedFile } from './refused-file';

/** One `{{ … }}` of Helm's template language. */
export interface TemplateAction {
  readonly start: number;
  /** Behind the closing braces. */
  readonly end: number;
  /** open: if, with, range, define, block; silent: comments and assignments; output: everything else. */
  readonly kind: 'open' | 'else' | 'end' | 'silent' | 'output';
  /** Whether it may put text of its own in its place. */
  readonly emits: boolean;
  /** `{{-` and `-}}` eat the white space beside them, line ends included. */
  readonly trimsBefore: boolean;
  readonly trimsAfter: boolean;
  /** The start of the action that opened the control structure which it belongs to. */
  readonly group: number;
}

/** Real manifests have up to thirty. Each may cost the parsing of a block by itself. */
const MAX_ACTIONS = 200;

const OPENERS = new Set(['if', 'with', 'range', 'define', 'block']);
const ASSIGNMENT = /^\$\w*(\s*,\s*\$\w+)?\s*:?=/;
/** A string, a raw string or a character, whose braces do not count; the end; anything else. */
const TOKEN = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*'|\}\}|\}|[^"'`}]+/gy;

/** Every action of a text, in order. @throws RefusedFile where the template is not one that Helm could render */
export function scanTemplate(text: string): readonly TemplateAction[] {
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
