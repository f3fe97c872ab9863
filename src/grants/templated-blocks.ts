import { type ManifestLayout, MASK } from './manifest-layout';
import { readYaml, requireFewTokens } from './plain-yaml';
import { RefusedFile } from './refused-file';

/** The blocks whose content counts, and which are therefore never taken away. */
const READ_BLOCKS = new Set(['metadata', 'permission']);

/** Left of a directive inside a line, where it stands for some text. */
const PLACEHOLDER = 'x';

/**
 * The masked text as YAML, offsets unchanged. Templated blocks that we do not read become bare keys: with all of
 * their branches side by side they need not be YAML.
 * @throws RefusedFile
 */
export function withoutTemplatedBlocks({ actions, blocks, masked }: ManifestLayout): string {
  const pieces: string[] = [];
  let [from, at, tokens] = [0, 0, 0];
  for (const { key, start, end } of blocks) {
    // Both are in order.
    while ((actions[at]?.end ?? Infinity) <= start) at += 1;
    if ((actions[at]?.start ?? Infinity) >= end) continue;
    const block = masked.slice(start, end);
    if (/^(---|\.\.\.)\s*$/.test(block) || (key !== undefined && READ_BLOCKS.has(key))) continue;
    if (key === undefined) throw new RefusedFile(start, 'a templated line that is not a plain top-level key');
    const readable = block.replaceAll(MASK, PLACEHOLDER);
    tokens = requireFewTokens(readable, start, tokens);
    requireClosed(readable, start);
    const body = start + block.indexOf(':') + 1;
    pieces.push(masked.slice(from, body), masked.slice(body, end).replace(/[^\r\n]/g, ' '));
    from = end;
  }
  pieces.push(masked.slice(from));
  return pieces.join('').replaceAll(MASK, PLACEHOLDER);
}

/** A quote or a bracket that is left open could, to a lenient reader, swallow the blocks below. */
function requireClosed(block: string, start: number): void {
  const { errors } = readYaml(block);
  const unclosed = errors.find(({ message }) => /^Missing closing|end with a/.test(message));
  if (unclosed) throw new RefusedFile(start + unclosed.pos[0], `not valid YAML: ${unclosed.message}`);
}
