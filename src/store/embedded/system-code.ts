/**
 * The code of an error of the system or of the database, e.g. ENOTDIR: all that is kept of a foreign error.
 * Where abstract-level only says that a database did not open, the code of its cause.
 */
export function systemCode(error: unknown): string {
  const cause = field(error, 'cause');
  const code = field(cause ?? error, 'code');
  return typeof code === 'string' ? code : 'no code';
}

/** Not `instanceof Error`: errors of native code belong to the realm that loaded it. */
function field(error: unknown, name: 'code' | 'cause'): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
}
