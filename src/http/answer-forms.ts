import {
  DOCUMENTED,
  SIDECAR,
  wrappedBySystemServer,
  type AnswerForm,
  type ResponseStyle,
} from './answer-form';
import { operationOf, pathOf, type ProviderRequest } from './provider-request';

/** Chooses the form in which a request is answered. Probes and the access route have one form only. */
export class AnswerForms {
  private readonly provider: AnswerForm;
  private readonly wrapped: AnswerForm;
  private readonly event: AnswerForm;

  constructor(style: ResponseStyle) {
    this.provider = style === 'sidecar' ? SIDECAR : DOCUMENTED;
    // The sender of events looks at the HTTP status only: a failure with 200 would lose the event for good.
    this.event = {
      success: (envelope) => this.provider.success(envelope),
      failure: (envelope) => DOCUMENTED.failure(envelope),
    };
    this.wrapped = wrappedBySystemServer(this.provider);
  }

  of(request: ProviderRequest): AnswerForm {
    if (request.asSystemServer === true) return this.wrapped;
    const path = pathOf(request);
    if (path.startsWith('/user/')) return this.event;
    return operationOf(path) !== undefined || path.startsWith('/admin/') ? this.provider : DOCUMENTED;
  }
}
