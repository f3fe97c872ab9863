import type { ApiVersion } from '../versions/api-version';
import type { CallName } from '../versions/calls';
import { reasonInOtherVersions, InfisicalCallFailed } from '../versions/infisical-call-failed';
import { classifyFailure, type FailureReason } from '../versions/failure-reason';
import type { InfisicalClient, TransportAnswer, TransportRequest } from '../transport/infisical-client';
import { isRefusedWrite, refusalSentence, type Sent } from '../versions/refused-write';

/** What one call sends beside its route. */
export interface CallParts {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly ifNoneMatch?: string;
}

/** An answer that is what its route promises. */
export interface Answered {
  readonly body: unknown;
  readonly etag?: string;
  /** The entity tag that was sent still holds; there is no body. */
  readonly unchanged: boolean;
}

/**
 * One call of a dialect: its route filled in, sent once, and its answer, or the failure in our words.
 * @throws InfisicalCallFailed
 */
export async function executeRequest(
  client: InfisicalClient,
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts & Pick<TransportRequest, 'timeoutMs' | 'maxWaitMs' | 'shortestMs' | 'bearer'>,
): Promise<Answered> {
  const { method, path } = apiVersion.routes[name];
  const isUnchanged = ({ status }: TransportAnswer): boolean =>
    status === 304 && parts.ifNoneMatch !== undefined;
  const isGood = ({ status, body }: TransportAnswer): boolean =>
    status >= 200 && status < 300 && body !== undefined;
  const reasonOf = (given: TransportAnswer): FailureReason | undefined =>
    isGood(given) || isUnchanged(given)
      ? undefined
      : classifyFailure(apiVersion.failures, name, given.status, given.body);
  const answer = await client.send({
    call: name,
    method,
    pathTemplate: path,
    target: fillIn(path, parts.path ?? {}) + queryOf(parts.query),
    timeoutMs: parts.timeoutMs,
    judge: (given) => {
      const reason = reasonOf(given);
      return provesLife(apiVersion, name, reason) ? undefined : reason;
    },
    ...(parts.maxWaitMs !== undefined && { maxWaitMs: parts.maxWaitMs }),
    ...(parts.shortestMs !== undefined && { shortestMs: parts.shortestMs }),
    ...(parts.body !== undefined && { body: parts.body }),
    ...(parts.bearer !== undefined && { bearer: parts.bearer }),
    ...(parts.ifNoneMatch !== undefined && { ifNoneMatch: parts.ifNoneMatch }),
  });
  const reason = reasonOf(answer);
  const { body, etag } = answer;
  if (reason === undefined)
    return { body, unchanged: isUnchanged(answer), ...(etag !== undefined && { etag }) };
  const reasonByVersion = reasonInOtherVersions(apiVersion, name, answer);
  const { status } = answer;
  const said = isRefusedWrite({ call: name, reason, status })
    ? refusalSentence(answer.body, sentIn(parts))
    : undefined;
  throw new InfisicalCallFailed({
    call: name,
    method,
    pathTemplate: path,
    status,
    reason,
    ...(said !== undefined && { said }),
    ...(reasonByVersion !== undefined && { reasonByVersion }),
    ...(answer.retryAfterMs !== undefined && { retryAfterMs: answer.retryAfterMs }),
  });
}

function sentIn({ path, body }: CallParts): Sent {
  const name = path?.['name'];
  const value = body?.['secretValue'];
  return { ...(name !== undefined && { name }), ...(typeof value === 'string' && { value }) };
}

/** A ping is refused by design on some servers. */
function provesLife(
  { aliveReasons }: ApiVersion,
  name: CallName,
  reason: FailureReason | undefined,
): boolean {
  return name === 'ping' && reason !== undefined && aliveReasons.includes(reason);
}

/** A failure that is ours to tell: no time left to send, or an answer that is not what its route documents. */
export function callFailureOf(
  apiVersion: ApiVersion,
  name: CallName,
  reason: FailureReason,
): InfisicalCallFailed {
  const { method, path } = apiVersion.routes[name];
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
