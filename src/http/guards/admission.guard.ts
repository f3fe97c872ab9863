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
 * Runs after authentication: takes the request from its caller's rate limit, reads its body, and counts it among the
 * requests in flight. It counts only once its body has arrived, so that slow senders take no capacity from others.
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
    if (kind !== undefined && rateLimitSubject !== undefined) {
      const exceeded = await this.rateLimits.take(kind, rateLimitSubject);
      if (exceeded !== undefined) throw this.throttledCredentials.refusal(request, kind, exceeded);
    }
    try {
      await this.bodies.read(request);
    } finally {
      chargeBytes(this.rateLimits, request, request.bodyBytes ?? 0);
    }
    refuseForgedProxyRequest(request);
    // Nothing is done for a client that has hung up.
    if (request.cleanup.hasRun) throw new ClientGone();
    request.cleanup.add(this.admission.enter(subjectOf(request)));
    return true;
  }
}

/** Refuses a ProxyRequest that is not from a proven peer; those of proven peers were unwrapped by RequestAuthenticator. */
function refuseForgedProxyRequest(request: ProviderRequest): void {
  if (operationOf(pathOf(request)) === undefined || request.isProxied === true) return;
  if (proxyRequestIn(request.body) !== undefined) throw new Unauthenticated('X-Access-Token');
}
