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
}

export function encodeOrder({ id: _name, ...fields }: RemovalOrder): string {
  return JSON.stringify(fields);
}

/** undefined for what is not an order. */
export function parseOrder(id: string, text: string): RemovalOrder | undefined {
  const { user, requestedAtMs, confirmedAtMs, doneAtMs, userBackAtMs } = fieldsOf(text);
  if (typeof user !== 'string' || typeof requestedAtMs !== 'number') return undefined;
  return {
    id,
    user,
    requestedAtMs,
    ...(typeof confirmedAtMs === 'number' && { confirmedAtMs }),
    ...(typeof doneAtMs === 'number' && { doneAtMs }),
    ...(typeof userBackAtMs === 'number' && { userBackAtMs }),
  };
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
