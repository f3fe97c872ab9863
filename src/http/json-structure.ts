/** A body of ours is flat, an access request has a list in an object, and so has a ProxyRequest its data. */
export const MAX_DEPTH = 3;
/** Values and names together: an access request asks for 64 operations at most. */
export const MAX_ITEMS = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const OPEN_OBJECT = 0x7b;
const CLOSE_LIST = 0x5d;
const CLOSE_OBJECT = 0x7d;

/**
 * Whether JSON text has no more structure than any body of ours, so that parsing it takes time and memory by its length
 * alone: three megabytes of `[` take JSON.parse two seconds. Whether it is JSON at all is not looked at.
 */
export function isShallowJson(bytes: Uint8Array): boolean {
  let depth = 0;
  let items = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) items += 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    if (depth > MAX_DEPTH || items >= MAX_ITEMS) return false;
  }
  return true;
}

/** Where the string ends that begins here: at its closing quote, or behind the text. */
function endOfString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
