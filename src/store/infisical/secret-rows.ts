import type { SecretRow } from './answers';

/**
 * Of the rows of one name, the one that stands for it, the same for every reader: the highest version, then the latest
 * update, then the lowest id. An update raises one row's version, so that it is this one from then on, or soon; a create
 * that is carried out late never is, once there was an update.
 */
export function preferredRow(rows: readonly SecretRow[]): SecretRow | undefined {
  return [...rows].sort(byPrecedence)[0];
}

/** One row for each name, by name ascending by code unit. */
export function distinctRows(rows: readonly SecretRow[]): readonly SecretRow[] {
  const chosen = new Map<string, SecretRow>();
  for (const row of [...rows].sort(byPrecedence)) if (!chosen.has(row.name)) chosen.set(row.name, row);
  return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** How many rows a list holds beyond one for each name. */
export function surplusRows(rows: readonly SecretRow[]): number {
  return rows.length - new Set(rows.map((row) => row.name)).size;
}

export function doubledNames(rows: readonly SecretRow[]): ReadonlySet<string> {
  const once = new Set<string>();
  return new Set(rows.map(({ name }) => name).filter((name) => once.size === once.add(name).size));
}

/** What the servers say of a row beside its name and value. */
const FRAME_BYTES = 500;

/** About how large the list was as an answer. */
export function listBytes(rows: readonly SecretRow[]): number {
  return rows.reduce(
    (sum, { name, stored = '' }) => sum + FRAME_BYTES + Buffer.byteLength(name) + Buffer.byteLength(stored),
    0,
  );
}

function byPrecedence(a: SecretRow, b: SecretRow): number {
  return b.version - a.version || b.updatedAtMs - a.updatedAtMs || (a.id < b.id ? -1 : 1);
}
