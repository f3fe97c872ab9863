import type { InfisicalClient, TransportAnswer, TransportRequest } from '../transport/infisical-client';
import type { ApiVersion } from '../versions/api-version';
import type { CallName } from '../versions/calls';
import { classifyFailure, type FailureReason } from '../versions/failure-reason';
import { InfisicalCallFailed, reasonsByVersion } from '../versions/infisical-call-failed';
import { isRefusedWrite, refusalSentence, type SentSecret } from '../versions/refused-write';

/** The parts of a request that a caller fills in. */
export interface CallParts {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly ifNoneMatch?: string;
}

/** The answer to a successful call. */
export interface SuccessfulAnswer {
  readonly body: unknown;
  readonly etag?: string;
  /** Whether the entity tag that was sent still holds; there is no body then. */
  readonly unchanged: boolean;
}

/** Sends one request of an API version, once. @throws InfisicalCallFailed also for an answer that is a failure */
export async function executeRequest(
  client: InfisicalClient,
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts & Pick<TransportRequest, 'timeoutMs' | 'maxWaitMs' | 'minCallMs' | 'bearer' | 'signal'>,
): Promise<SuccessfulAnswer> {
  const { method, path } = apiVersion.routes[name];
  const isUnchanged = ({ status }: TransportAnswer): boolean =>
    status === 304 && parts.ifNoneMatch !== undefined;
  const isGood = ({ status, body }: TransportAnswer): boolean =>
    status >= 200 && status < 300 && body !== undefined;
  const reasonOf = (given: TransportAnswer): FailureReason | undefined =>
    isGood(given) || isUnchanged(given)
      ? undefined
      : classifyFailure(apiVersion.failures, name, given.status, given.body);
  const { path: pathValues = {}, query, ...sent } = parts;
  const answer = await client.send({
    ...sent,
    call: name,
    method,
    pathTemplate: path,
    target: fillIn(path, pathValues) + queryOf(query),
    reasonOf: (given) => {
      const reason = reasonOf(given);
      return isAlive(apiVersion, name, reason) ? undefined : reason;
    },
  });
  const reason = reasonOf(answer);
  const { status, body, etag } = answer;
  if (reason === undefined)
    return { body, unchanged: isUnchanged(answer), ...(etag !== undefined && { etag }) };
  const reasonByVersion = reasonsByVersion(apiVersion, name, answer);
  const said = isRefusedWrite({ call: name, reason, status })
    ? refusalSentence(body, secretIn(parts))
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

function secretIn({ path, body }: CallParts): SentSecret {
  const name = path?.['name'];
  const value = body?.['secretValue'];
  return { ...(name !== undefined && { name }), ...(typeof value === 'string' && { value }) };
}

/** Returns whether a refused ping proves that the server works: some servers refuse it by design. */
function isAlive({ aliveReasons }: ApiVersion, name: CallName, reason: FailureReason | undefined): boolean {
  return name === 'ping' && reason !== undefined && aliveReasons.includes(reason);
}

/** Makes a failure that no answer states: no time was left to send, or the answer is not what its route documents. */
export function callFailureOf(
  apiVersion: ApiVersion,
  name: CallName,
  reason: FailureReason,
): InfisicalCallFailed {
  const { method, path } = apiVersion.routes[name];
  return new InfisicalCallFailed({ call: name, method, pathTemplate: path, reason });
}

/** Fills in a path. No value can leave its segment: '.' and '..' are refused, as URL parsers rewrite them even percent-encoded. */
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
