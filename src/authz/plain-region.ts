import { RefusedFile } from './plain-yaml';
import type { TemplateAction } from './manifest-layout';

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
    if (action.emits) {
      throw new RefusedFile(
        action.start,
        `a template directive right after ${region.what} could continue it`,
      );
    }
    for (const exit of exitsOf(action)) {
      const at = exit.trimsAfter ? endOfSpace(text, exit.end) : endOfGap(text, exit.end);
      const next = byStart.get(at);
      if (next && !seen.has(next)) {
        seen.add(next);
        pending.push(next);
      }
      if (!next && !startsOwnLine(text, exit, at, region.column)) {
        throw new RefusedFile(
          exit.start,
          `a template directive right after ${region.what} could continue it`,
        );
      }
    }
  }
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
