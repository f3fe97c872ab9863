/** What replicas say to each other; `of` counts what its speaker has written so far. */
export type Announcement = {
  /** Who speaks: one process, from its start to its end. */
  readonly from: string;
  readonly of: number;
} & (
  | { readonly kind: 'beat' | 'bye' | 'all' }
  /** The scope that was written, sealed. */
  | { readonly kind: 'scope'; readonly sealed: string }
);

const FORM = /^1 ([\w-]{1,64}) (\d{1,15}) (?:(beat|bye|all)|scope ([\w-]{1,8192}))$/;

export function textOf(announcement: Announcement): string {
  const { from, of, kind } = announcement;
  const head = `1 ${from} ${of} ${kind}`;
  return kind === 'scope' ? `${head} ${announcement.sealed}` : head;
}

/** Undefined for what is none of ours, or of another release. */
export function announcementIn(text: string): Announcement | undefined {
  const [, from, count, kind, sealed] = FORM.exec(text) ?? [];
  if (from === undefined) return undefined;
  const of = Number(count);
  if (sealed !== undefined) return { from, of, kind: 'scope', sealed };
  return { from, of, kind: kind as 'beat' | 'bye' | 'all' };
}
