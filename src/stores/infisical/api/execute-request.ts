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

/** What a request needs beside the parts of its call. */
type Sending = Pick<TransportRequest, 'timeoutMs' | 'maxWaitMs' | 'minCallMs' | 'bearer' | 'signal'>;

/** Sends one request of an API version, once. @throws InfisicalCallFailed also for an answer that is a failure */
export async function executeRequest(
  client: InfisicalClient,
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts,
  sending: Sending,
): Promise<SuccessfulAnswer> {
  return successIn(apiVersion, name, parts, await client.send(requestOf(apiVersion, name, parts, sending)));
}

/** Returns the request of a call in an API version. */
export function requestOf(
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts,
  sending: Sending,
): TransportRequest {
  const { method, path } = apiVersion.routes[name];
  const { path: pathValues = {}, query, ...sent } = parts;
  return {
    ...sent,
    ...sending,
    call: name,
    method,
    pathTemplate: path,
    target: fillIn(path, pathValues) + queryOf(query),
    reasonOf: (answer) => {
      const reason = reasonOf(apiVersion, name, parts, answer);
      return isAlive(apiVersion, name, reason) ? undefined : reason;
    },
  };
}

/** Returns the answer of a call. @throws InfisicalCallFailed for an answer that is a failure */
export function successIn(
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts,
  answer: TransportAnswer,
): SuccessfulAnswer {
  const reason = reasonOf(apiVersion, name, parts, answer);
  const { status, body, etag } = answer;
  if (reason === undefined)
    return { body, unchanged: isUnchanged(parts, answer), ...(etag !== undefined && { etag }) };
  const { method, path } = apiVersion.routes[name];
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

/** Returns why an answer is a failure. */
function reasonOf(
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts,
  answer: TransportAnswer,
): FailureReason | undefined {
  const { status, body } = answer;
  const isGood = status >= 200 && status < 300 && body !== undefined;
  return isGood || isUnchanged(parts, answer)
    ? undefined
    : classifyFailure(apiVersion.failures, name, status, body);
}

function isUnchanged({ ifNoneMatch }: CallParts, { status }: TransportAnswer): boolean {
  return status === 304 && ifNoneMatch !== undefined;
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
