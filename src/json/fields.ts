/** Returns the fields of what somebody else sent; none where it is no object. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** Returns an own property only: a `__proto__` must not give an object fields that it does not state. */
export function ownField(value: unknown, name: string): unknown {
  return Object.hasOwn(fieldsOf(value), name) ? fieldsOf(value)[name] : undefined;
}
