import type { DestinationStream } from 'pino';
import { prettyFactory } from 'pino-pretty';

const ESCAPES = /\\(?:["\\/]|u[0-9a-f]{4}|[bfnrt])/gi;
const SHOWN = new Set(['\\"', '\\\\', '\\/']);
/** Characters that JSON does not escape and that control a terminal or the direction of its text. */
const CONTROLS = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * Writes each JSON line of the log as one line for people, with nothing that the JSON line has not. Control characters, which
 * may come from a caller, stay escaped.
 */
export function prettyLog(to: DestinationStream, colorize: boolean): DestinationStream {
  const pretty = prettyFactory({
    colorize,
    colorizeObjects: false,
    // An error is logged as the name of its class, which needs no lines of its own.
    errorLikeObjectKeys: [],
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
  });
  return { write: (line) => void to.write(pretty(withoutControls(line))) };
}

function withoutControls(line: string): string {
  return line
    .replace(ESCAPES, (escape) => (SHOWN.has(escape) ? escape : `\\${escape}`))
    .replace(CONTROLS, (character) => `\\\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
