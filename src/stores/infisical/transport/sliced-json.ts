import { quietTurn } from '../../../concurrency/quiet-turn';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const OPEN_OBJECT = 0x7b;
const CLOSE_LIST = 0x5d;
const CLOSE_OBJECT = 0x7d;

/** What is parsed in one turn of the event loop, where no single item is longer. */
const SLICE_BYTES = 128 * 1024;

/** Of a list in the outermost object: where it begins and ends, and where it may be cut. */
interface List {
  readonly from: number;
  to: number;
  /** Behind each so many bytes of items, the comma that follows. */
  readonly cuts: number[];
}

/**
 * Parses JSON whose bulk is lists in the outermost object, a slice of them at a time, other requests in between: JSON.parse
 * alone takes some thirty milliseconds for seven megabytes. Undefined where it is not JSON.
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
    return filled(JSON.parse(frameOf(bytes, lists)) as object, parsed);
  } catch {
    // The text of a SyntaxError can quote the body.
    return undefined;
  }
}

async function listsIn(bytes: Buffer): Promise<readonly List[]> {
  const lists: List[] = [];
  let list: List | undefined;
  let depth = 0;
  let turnEnds = SLICE_BYTES;
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
    if (at < turnEnds) continue;
    await quietTurn();
    turnEnds = at + SLICE_BYTES;
  }
  return lists;
}

function endOfString(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(QUOTE, from + 1); at >= 0; at = bytes.indexOf(QUOTE, at + 1)) {
    let escapes = at;
    while (bytes[escapes - 1] === BACKSLASH) escapes -= 1;
    if ((at - escapes) % 2 === 0) return at;
  }
  return bytes.length;
}

async function itemsOf(bytes: Buffer, { from, to, cuts }: List): Promise<unknown[]> {
  const items: unknown[] = [];
  let begin = from + 1;
  for (const end of [...cuts, to]) {
    const slice = JSON.parse(`[${bytes.toString('utf8', begin, end)}]`) as unknown[];
    // Nothing behind a comma is no JSON, and nothing at all an empty list.
    if (slice.length === 0 && cuts.length > 0) throw new SyntaxError();
    for (const item of slice) items.push(item);
    begin = end + 1;
    if (cuts.length > 0) await quietTurn();
  }
  return items;
}

/** The text without its lists, each of which holds its number instead. */
function frameOf(bytes: Buffer, lists: readonly List[]): string {
  let frame = '';
  let begin = 0;
  for (const [at, { from, to }] of lists.entries()) {
    frame += `${bytes.toString('utf8', begin, from + 1)}${at}`;
    begin = to;
  }
  return frame + bytes.toString('utf8', begin);
}

/** Lists are nowhere else in the outermost object than where they were put. */
function filled(frame: object, lists: readonly unknown[][]): object {
  const entries = Object.entries(frame).map(([name, value]: [string, unknown]) => [
    name,
    Array.isArray(value) ? lists[Number(value[0])] : value,
  ]);
  return Object.fromEntries(entries) as object;
}
