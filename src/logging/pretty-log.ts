import type { DestinationStream } from 'pino';
import { prettyFactory } from 'pino-pretty';

/** What one escape of JSON stands for, save those that are shown as they are. */
const ESCAPES = /\\(?:["\\/]|u[0-9a-f]{4}|[bfnrt])/gi;
const SHOWN = new Set(['\\"', '\\\\', '\\/']);
/** Characters that JSON leaves alone and that steer a terminal, or turn the direction of its text. */
const UNSEEN = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * Writes each JSON line of the log as one line for people. It shows what the line has and no more: what the log keeps out is out already,
 * and control characters, which may come from a caller, stay escaped.
 */
export function prettyLog(to: DestinationStream, colorize: boolean): DestinationStream {
  const pretty = prettyFactory({
    colorize,
    colorizeObjects: false,
    // An error is the name of its class; it needs no lines of its own.
    errorLikeObjectKeys: [],
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
  });
  return { write: (line) => void to.write(pretty(withoutControls(line))) };
}

function withoutControls(line: string): string {
  return line
    .replace(ESCAPES, (escape) => (SHOWN.has(escape) ? escape : `\\${escape}`))
    .replace(UNSEEN, (character) => `\\\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
