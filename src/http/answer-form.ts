import type { Envelope, FailureData } from './envelope';

/** `RESPONSE_STYLE`: as documented, or as today's sidecar answers and its clients test. */
export type ResponseStyle = 'documented' | 'sidecar';

export interface Answer {
  readonly status: number;
  readonly body: object;
}

/** How an envelope is put into an HTTP answer. */
export interface AnswerForm {
  success(envelope: Envelope<unknown>): Answer;
  failure(envelope: Envelope<FailureData>): Answer;
}

/** The envelope as it is; `code` is the HTTP status. */
export const DOCUMENTED: AnswerForm = { success: asItIs, failure: asItIs };

/** HTTP 200 always, and `code: 0` for success: clients of the sidecar test `data.code == 0`. */
export const SIDECAR: AnswerForm = {
  success: (envelope) => ({ status: 200, body: { ...envelope, code: 0 } }),
  failure: (envelope) => ({ status: 200, body: envelope }),
};

/**
 * What system-server makes of a provider's answer, so that an app that calls `OS_SYSTEM_SERVER` may call us instead:
 * HTTP 200 always; a provider's failure is a sentence with its status and body in it.
 */
export function wrappedBySystemServer(provider: AnswerForm): AnswerForm {
  const wrap = ({ status, body }: Answer): object =>
    status < 400
      ? { code: 0, message: 'success', data: body }
      : { code: 1, message: `invoke provider err: code ${status}, ${JSON.stringify(body)}` };
  return {
    success: (envelope) => ({ status: 200, body: wrap(provider.success(envelope)) }),
    failure: (envelope) => ({ status: 200, body: ownFailure(envelope) ?? wrap(provider.failure(envelope)) }),
  };
}

/** system-server checks the access token itself, before it calls a provider. */
function ownFailure(envelope: Envelope<FailureData>): object | undefined {
  if (envelope.data.credential !== 'X-Access-Token') return undefined;
  return { code: 100001, message: `TokenValidationError: ${envelope.message}` };
}

function asItIs(envelope: Envelope<unknown>): Answer {
  return { status: envelope.code, body: envelope };
}
