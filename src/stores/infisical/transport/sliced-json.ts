import { quietTurn } from '../../../concurrency/quiet-turn';
import {
  CLOSE_LIST,
  CLOSE_OBJECT,
  COMMA,
  endOfString,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
} from '../../../json/json';

/** How much is parsed at once, unless a single item is longer. */
const SLICE_BYTES = 128 * 1024;

/** The position of a list in the outermost object, and the positions at which it may be cut. */
interface List {
  readonly from: number;
  to: number;
  /** The first comma behind each SLICE_BYTES of items. */
  readonly cuts: number[];
}

/**
 * Parses JSON whose bulk is lists in the outermost object, one slice at a time with other requests in between: JSON.parse
 * alone takes some thirty milliseconds for seven megabytes. Returns undefined where it is not JSON.
 */
export async function parseSlicedJson(bytes: Buffer): Promise<unknown> {
  try {
    const lists =
      bytes.length > SLICE_BYTES && /^\s*\{/.test(bytes.toString('latin1', 0, 64))
        ? await listsIn(bytes)
        : [];
    if (lists.length === 0) return JSON.parse(bytes.toString()) as unknown;
    const parsed: unknown[][] = [];
    for (const list of lists) parsed.push(await itemsOf(bytes, list));
    return withLists(JSON.parse(frameOf(bytes, lists)) as object, parsed);
  } catch {
    // The text of a SyntaxError can quote the body.
    return undefined;
  }
}

async function listsIn(bytes: Buffer): Promise<readonly List[]> {
  const lists: List[] = [];
  let list: List | undefined;
  let depth = 0;
  let sliceEnd = SLICE_BYTES;
  let cutAfter = 0;
  for (let at = bytes.indexOf(OPEN_OBJECT); at >= 0 && at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      depth += 1;
      if (depth === 2 && byte === OPEN_LIST) {
        list = { from: at, to: at, cuts: [] };
        cutAfter = at + SLICE_BYTES;
      }
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      if (depth === 2 && list !== undefined) {
        list.to = at;
        lists.push(list);
        list = undefined;
      }
      depth -= 1;
    } else if (byte === COMMA && depth === 2 && list !== undefined && at > cutAfter) {
      list.cuts.push(at);
      cutAfter = at + SLICE_BYTES;
    }
    if (at < sliceEnd) continue;
    await quietTurn('parse', '');
    sliceEnd = at + SLICE_BYTES;
  }
  return lists;
}

async function itemsOf(bytes: Buffer, { from, to, cuts }: List): Promise<unknown[]> {
  const items: unknown[] = [];
  let begin = from + 1;
  for (const end of [...cuts, to]) {
    const slice = JSON.parse(`[${bytes.toString('utf8', begin, end)}]`) as unknown[];
    // An empty slice is an empty list, but behind a comma it is not JSON.
    if (slice.length === 0 && cuts.length > 0) throw new SyntaxError();
    for (const item of slice) items.push(item);
    begin = end + 1;
    if (cuts.length > 0) await quietTurn('parse', '');
  }
  return items;
}

/** Returns the text with each list replaced by a list of its own number. */
function frameOf(bytes: Buffer, lists: readonly List[]): string {
  let frame = '';
  let begin = 0;
  for (const [at, { from, to }] of lists.entries()) {
    frame += `${bytes.toString('utf8', begin, from + 1)}${at}`;
    begin = to;
  }
  return frame + bytes.toString('utf8', begin);
}

/** Puts the lists back. The outermost object has no other lists than the replaced ones. */
function withLists(frame: object, lists: readonly unknown[][]): object {
  const entries = Object.entries(frame).map(([name, value]: [string, unknown]) => [
    name,
    Array.isArray(value) ? lists[Number(value[0])] : value,
  ]);
  return Object.fromEntries(entries) as object;
}
