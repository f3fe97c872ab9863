/** That a user was deleted, and how far the removal of that user's workspaces is. Each event makes an order of its own. */
export interface RemovalOrder {
  /** The name of its record: a random id. */
  readonly id: string;
  readonly user: string;
  /** When the event arrived. */
  readonly requestedAtMs: number;
  /** When the cluster itself was first seen without the user: an event alone removes nothing. */
  readonly confirmedAtMs?: number;
  /** Kept for a while when done: an order of the same event may still come to light. */
  readonly doneAtMs?: number;
  /** When it was acknowledged that a user of that name is there again: orders from before count no more. */
  readonly userBackAtMs?: number;
  /** Ids of workspaces that were found and are not known to be gone: a store may lose sight of one before it is. */
  readonly found?: readonly string[];
}

export function encodeOrder({ id: _name, ...fields }: RemovalOrder): string {
  return JSON.stringify(fields);
}

/** undefined for what is not an order. */
export function parseOrder(id: string, text: string): RemovalOrder | undefined {
  const { user, requestedAtMs, confirmedAtMs, doneAtMs, userBackAtMs, found } = fieldsOf(text);
  if (typeof user !== 'string' || typeof requestedAtMs !== 'number') return undefined;
  return {
    id,
    user,
    requestedAtMs,
    ...(typeof confirmedAtMs === 'number' && { confirmedAtMs }),
    ...(typeof doneAtMs === 'number' && { doneAtMs }),
    ...(typeof userBackAtMs === 'number' && { userBackAtMs }),
    ...(isIds(found) && { found }),
  };
}

function isIds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((id) => typeof id === 'string');
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
