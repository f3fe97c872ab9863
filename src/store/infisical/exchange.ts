import type { CallName, Dialect } from './dialect';
import { classifyFailure, type FailureReason } from './failure-reason';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { InfisicalClient, WireRequest } from './infisical-client';

/** What one call sends beside its route. */
export interface CallParts {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
}

/**
 * One call of a dialect: its route filled in, sent once, and its answer's body, or the failure in our words.
 * @throws InfisicalCallFailed
 */
export async function exchange(
  client: InfisicalClient,
  dialect: Dialect,
  name: CallName,
  parts: CallParts & Pick<WireRequest, 'timeoutMs' | 'patienceMs' | 'bearer'>,
): Promise<unknown> {
  const { method, path } = dialect.routes[name];
  const answer = await client.send({
    call: name,
    method,
    pathTemplate: path,
    target: fillIn(path, parts.path ?? {}) + queryOf(parts.query),
    timeoutMs: parts.timeoutMs,
    ...(parts.patienceMs !== undefined && { patienceMs: parts.patienceMs }),
    ...(parts.body !== undefined && { body: parts.body }),
    ...(parts.bearer !== undefined && { bearer: parts.bearer }),
  });
  if (answer.status >= 200 && answer.status < 300 && answer.body !== undefined) return answer.body;
  throw new InfisicalCallFailed({
    call: name,
    method,
    pathTemplate: path,
    status: answer.status,
    reason: classifyFailure(dialect.failures, name, answer.status, answer.body),
    ...(answer.retryAfterMs !== undefined && { retryAfterMs: answer.retryAfterMs }),
  });
}

/** A failure that is ours to tell: no time left to send, or an answer that is not what its route documents. */
export function failureOf(dialect: Dialect, name: CallName, reason: FailureReason): InfisicalCallFailed {
  const { method, path } = dialect.routes[name];
  return new InfisicalCallFailed({ call: name, method, pathTemplate: path, reason });
}

/** No value can leave its segment: URL parsers rewrite '.' and '..', also percent-encoded, before anything is sent. */
function fillIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_match, key: string) => {
    const value = values[key];
    if (value === undefined || /^\.{0,2}$/.test(value)) throw new Error(`No path segment for {${key}}.`);
    return encodeURIComponent(value);
  });
}

function queryOf(query: Readonly<Record<string, string>> | undefined): string {
  return query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
}
