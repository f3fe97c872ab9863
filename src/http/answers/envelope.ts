import type { Response } from 'express';
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

/**
 * Sets `Age` and `Cache-Status` (RFC 9211) where the cache answers while the store is unavailable. `ttl` is minus the age,
 * the longest that the answer can have been stale.
 */
export function showStaleness(response: Response | undefined, staleForMs: number): void {
  const ageS = Math.ceil(staleForMs / 1000);
  response?.setHeader('Age', String(ageS));
  response?.setHeader('Cache-Status', `olares-secret-provider; hit; ttl=-${ageS}; detail=STORE_UNAVAILABLE`);
}

/** The documented answer to a successful write. */
export const DONE: Envelope<''> = ok('');

/** The setting `RESPONSE_STYLE`: the documented answers, or those of today's sidecar, which its clients test. */
type ResponseStyle = 'documented' | 'sidecar';

/**
 * Gives answers the form that their caller reads. A sidecar's is HTTP 200 always, and `code: 0` for success: its clients test
 * `data.code == 0`. Probes and the access route always have the documented form.
 */
export class AnswerForms {
  constructor(private readonly style: ResponseStyle) {}

  /** Returns the body of a success. */
  success(
    { operation, path, asSystemServer, responseStyle = this.style }: ProviderRequest['target'],
    envelope: Envelope<unknown>,
  ): object {
    const isSidecars =
      responseStyle === 'sidecar' && (operation !== undefined || /^\/(explain$|admin\/|user\/)/.test(path));
    const body = isSidecars ? { ...envelope, code: 0 } : envelope;
    return asSystemServer ? { code: 0, message: 'success', data: body } : body;
  }

  /**
   * Returns the status and the body of a failure. system-server answers HTTP 200 always, so that an app that calls
   * `OS_SYSTEM_SERVER` may call us instead; a provider's failure is a sentence that contains its status and body.
   */
  failure(
    { operation, path, asSystemServer, responseStyle = this.style }: ProviderRequest['target'],
    envelope: Envelope<FailureData>,
  ): { readonly status: number; readonly body: object } {
    // The sender of events reads the HTTP status only: a failure with 200 would lose the event for good.
    const isSidecars =
      responseStyle === 'sidecar' && (operation !== undefined || /^\/(explain$|admin\/)/.test(path));
    const status = isSidecars ? 200 : envelope.code;
    if (!asSystemServer) return { status, body: envelope };
    // system-server checks the access token itself, before it calls a provider.
    if (envelope.data.credential === 'X-Access-Token')
      return { status: 200, body: { code: 100001, message: `TokenValidationError: ${envelope.message}` } };
    if (isSidecars) return { status, body: { code: 0, message: 'success', data: envelope } };
    const message = `invoke provider err: code ${status}, ${JSON.stringify(envelope)}`;
    return { status: 200, body: { code: 1, message } };
  }
}
