import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Unauthenticated } from '../../errors/authn-errors';
import { ClientGone } from '../../errors/request-errors';
import { Admission } from '../../limits/admission';
import { RateLimits } from '../../limits/rate-limits';
import { isProbe, operationOf, pathOf, type ProviderRequest } from '../request/provider-request';
import { proxyRequestIn } from '../request/proxy-request';
import { RequestBodies } from '../server/request-bodies';
import { chargeBytes, kindOf, rateLimitSubjectOf, subjectOf } from '../request/request-subject';
import { ThrottledCredentials } from './throttled-credentials';

/**
 * Behind authentication: takes the request from its caller's rate limit, reads its body, and gives it a place among the
 * requests in flight. A place is not held while a body is waited for, so that slow senders take none from others.
 */
@Injectable()
export class AdmissionGuard implements CanActivate {
  constructor(
    private readonly rateLimits: RateLimits,
    private readonly bodies: RequestBodies,
    private readonly admission: Admission,
    private readonly throttledCredentials: ThrottledCredentials,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    if (isProbe(request)) return true;
    const [kind, rateLimitSubject] = [kindOf(request), rateLimitSubjectOf(request)];
    const spent =
      kind === undefined || rateLimitSubject === undefined
        ? undefined
        : await this.rateLimits.take(kind, rateLimitSubject);
    if (kind !== undefined && spent !== undefined)
      throw this.throttledCredentials.refusal(request, kind, spent);
    try {
      await this.bodies.read(request);
    } finally {
      chargeBytes(this.rateLimits, request, request.bodyBytes ?? 0);
    }
    refuseImitation(request);
    // Whoever hung up meanwhile has nothing done for them.
    if (request.cleanup.hasRun) throw new ClientGone();
    request.cleanup.add(this.admission.enter(subjectOf(request)));
    return true;
  }
}

/** A ProxyRequest counts only from a proven proxy, whose body was put into the direct form already. */
function refuseImitation(request: ProviderRequest): void {
  if (operationOf(pathOf(request)) === undefined || request.isProxied === true) return;
  if (proxyRequestIn(request.body) !== undefined) throw new Unauthenticated('X-Access-Token');
}
