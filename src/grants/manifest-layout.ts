import { RefusedFile } from './refused-file';
import { scanTemplate, type TemplateAction } from './template-actions';

/** A top-level entry of a manifest: from its key, which starts a line, up to the next one. */
export interface TopLevelBlock {
  /** undefined where the line is not a plain `key:`. */
  readonly key: string | undefined;
  readonly start: number;
  readonly end: number;
}

export interface ManifestLayout {
  readonly actions: readonly TemplateAction[];
  readonly blocks: readonly TopLevelBlock[];
  /** The text with its directives masked, character for character, so that every offset still holds. */
  readonly masked: string;
}

/** Stands for one character of a directive; YAML allows it nowhere, so no file that we take has it of its own. */
export const MASK = '\u0001';

const MASKED_LINE = new RegExp(`^[ \\t${MASK}]+$`, 'gm');

/** What YAML does not take as text, and a carriage return that only some readers take as a line end. */
const UNPRINTABLE = /[^\t\n\r\u0020-\u007e\u0085\u00a0-\uffff]|\r(?!\n)/;

const PLAIN_KEY = /^([A-Za-z_][\w.-]*)[ \t]*:(?=\s|$)/;

/**
 * Finds the top-level blocks by their lines. A line that begins at column 0 with anything but a comment or a list
 * dash always begins a new entry of a block mapping: YAML allows no scalar and no bracket of an entry to go on
 * there. So a block can be told from its neighbours whatever a template does to those.
 * @throws RefusedFile
 */
export function layOut(text: string): ManifestLayout {
  const unprintable = text.search(UNPRINTABLE);
  if (unprintable !== -1) throw new RefusedFile(unprintable, 'a control character');
  const actions = scanTemplate(text);
  const masked = mask(text, actions);
  return { actions, masked, blocks: topLevelBlocks(masked) };
}

/** A line of nothing but directives becomes blank, as it is when rendered. */
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
