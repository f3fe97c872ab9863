import type { InfisicalClient, TransportAnswer, TransportRequest } from '../transport/infisical-client';
import type { ApiVersion } from '../versions/api-version';
import { type CallName, classifyFailure, type FailureReason, isAnswerTo } from '../versions/calls';
import {
  type CallFailure,
  InfisicalCallFailed,
  reasonsByVersion,
  isRefusedWrite,
} from '../versions/infisical-call-failed';
import { refusalSentence, type SentSecret } from '../versions/refusal-sentence';

/** The parts of a request that a caller fills in. */
export interface CallParts {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly ifNoneMatch?: string;
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
): Promise<TransportAnswer> {
  return successIn(apiVersion, name, parts, await client.send(requestOf(apiVersion, name, parts, sending)));
}

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
    target:
      fillIn(path, pathValues) + (query === undefined ? '' : `?${new URLSearchParams(query).toString()}`),
    reasonOf: (answer) => reasonOf(apiVersion, name, parts, answer),
  };
}

/** Returns the answer of a call. @throws InfisicalCallFailed for an answer that is a failure */
export function successIn(
  apiVersion: ApiVersion,
  name: CallName,
  parts: CallParts,
  answer: TransportAnswer,
): TransportAnswer {
  const reason = reasonOf(apiVersion, name, parts, answer);
  if (reason === undefined) return answer;
  const { status, body, retryAfterMs } = answer;
  const reasonByVersion = reasonsByVersion(apiVersion, name, answer);
  const isRefused = isRefusedWrite({ call: name, reason, status });
  const said = isRefused ? refusalSentence(body, secretIn(parts)) : undefined;
  throw callFailureOf(apiVersion, name, reason, { status, retryAfterMs, said, reasonByVersion });
}

/**
 * Returns why an answer is a failure. A 304 is none where an entity tag was sent, nor is a refused ping that proves that the server works:
 * some servers refuse it by design.
 */
function reasonOf(
  { failures, aliveReasons }: ApiVersion,
  name: CallName,
  { ifNoneMatch }: CallParts,
  { status, body }: TransportAnswer,
): FailureReason | undefined {
  if (status >= 200 && status < 300 && isAnswerTo(name, body)) return undefined;
  if (status === 304 && ifNoneMatch !== undefined) return undefined;
  const reason = classifyFailure(failures, name, status, body);
  return name === 'ping' && aliveReasons.includes(reason) ? undefined : reason;
}

function secretIn({ path, body }: CallParts): SentSecret {
  const name = path?.['name'];
  const value = body?.['secretValue'];
  return { name, value: typeof value === 'string' ? value : undefined };
}

/** @param answered is missing where no answer states the failure: no time was left to send, or the answer is not what its route documents */
export function callFailureOf(
  apiVersion: ApiVersion,
  name: CallName,
  reason: FailureReason,
  answered?: Pick<CallFailure, 'status' | 'retryAfterMs' | 'said' | 'reasonByVersion'>,
): InfisicalCallFailed {
  const { method, path } = apiVersion.routes[name];
  return new InfisicalCallFailed({ ...answered, call: name, method, pathTemplate: path, reason });
}

/** Fills in a path. No value can leave its segment: '.' and '..' are refused, as URL parsers rewrite them even percent-encoded. */
function fillIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_match, key: string) => {
    const value = values[key];
    if (value === undefined || /^\.{0,2}$/.test(value)) throw new Error(`No path segment for {${key}}.`);
    return encodeURIComponent(value);
  });
}
