import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { map, type Observable } from 'rxjs';
import { AnswerForms } from './answer-forms';
import type { Envelope } from './envelope';
import type { ProviderRequest } from './provider-request';

/** Puts the envelope of a success into the form that the caller reads. Failures are the error filter's. */
@Injectable()
export class AnswerFormInterceptor implements NestInterceptor<Envelope<unknown>, object> {
  constructor(private readonly forms: AnswerForms) {}

  intercept(context: ExecutionContext, next: CallHandler<Envelope<unknown>>): Observable<object> {
    const form = this.forms.of(context.switchToHttp().getRequest<ProviderRequest>());
    return next.handle().pipe(map((envelope) => form.success(envelope).body));
  }
}
