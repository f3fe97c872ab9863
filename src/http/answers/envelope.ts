import type { Reason } from '../../errors/domain-error';
import type { ProviderRequest } from '../request/provider-request';

/** The form of every answer. `code` is the HTTP status; `data` of a failure is `{reason, requestId, …}`. */
export interface Envelope<T> {
  readonly code: number;
  readonly message: string;
  readonly data: T;
}

/** The `data` of a failure: its reason, the request id, and the details of the error. */
export interface FailureData {
  readonly reason: Reason;
  readonly requestId: string;
  readonly credential?: unknown;
}

export function ok<T>(data: T): Envelope<T> {
  return { code: 200, message: '', data };
}

/** The documented answer to a successful write. */
export const DONE: Envelope<''> = ok('');

/** Chooses the form in which a request is answered. Probes and the access route always use the documented one. */
export class AnswerForms {
  private readonly provider: AnswerForm;
  private readonly wrapped: AnswerForm;
  private readonly event: AnswerForm;

  constructor(style: ResponseStyle) {
    this.provider = style === 'sidecar' ? SIDECAR : DOCUMENTED;
    // The sender of events reads the HTTP status only: a failure with 200 would lose the event for good.
    this.event = {
      success: (envelope) => this.provider.success(envelope),
      failure: (envelope) => DOCUMENTED.failure(envelope),
    };
    this.wrapped = wrappedBySystemServer(this.provider);
  }

  of(request: ProviderRequest): AnswerForm {
    const { asSystemServer, operation, path } = request.target;
    if (asSystemServer) return this.wrapped;
    if (path.startsWith('/user/')) return this.event;
    return operation !== undefined || path.startsWith('/admin/') ? this.provider : DOCUMENTED;
  }
}

/** The setting `RESPONSE_STYLE`: the documented answers, or those of today's sidecar, which its clients test. */
type ResponseStyle = 'documented' | 'sidecar';

interface Answer {
  readonly status: number;
  readonly body: object;
}

/** Turns an envelope into the status and the body of an HTTP answer. */
interface AnswerForm {
  success(envelope: Envelope<unknown>): Answer;
  failure(envelope: Envelope<FailureData>): Answer;
}

/** Sends the envelope as it is; `code` is the HTTP status. */
export const DOCUMENTED: AnswerForm = { success: unchanged, failure: unchanged };

/** Answers HTTP 200 always, and `code: 0` for success: clients of the sidecar test `data.code == 0`. */
export const SIDECAR: AnswerForm = {
  success: (envelope) => ({ status: 200, body: { ...envelope, code: 0 } }),
  failure: (envelope) => ({ status: 200, body: envelope }),
};

/**
 * Returns the form that system-server gives to a provider's answers, so that an app that calls `OS_SYSTEM_SERVER` may
 * call us instead: HTTP 200 always; a provider's failure is a sentence that contains its status and body.
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

function unchanged(envelope: Envelope<unknown>): Answer {
  return { status: envelope.code, body: envelope };
}
