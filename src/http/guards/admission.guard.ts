import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ClientGone, Unauthenticated } from '../../errors/request-errors';
import { Admission } from '../../limits/admission';
import { RateLimits } from '../../limits/rate-limits';
import { chargeBytes, type ProviderRequest, subjectOf } from '../request/provider-request';
import { RequestBodies } from '../server/request-bodies';
import { ThrottledCredentials } from './early-refusals';

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
    if (request.target.isProbe) return true;
    const subject = subjectOf(request);
    const { kind, limited } = subject;
    if (kind !== undefined && limited !== undefined) {
      const exceeded = await this.rateLimits.take(kind, limited);
      if (exceeded !== undefined) throw this.throttledCredentials.refusal(request, kind, exceeded);
    }
    try {
      await this.bodies.read(request);
    } finally {
      chargeBytes(this.rateLimits, subject, request.bodyBytes ?? 0);
    }
    // The ProxyRequests of proven peers were unwrapped by RequestAuthenticator; any other one is forged.
    const isOperation = request.target.operation !== undefined;
    if (isOperation && request.isProxied !== true && Object.hasOwn(request.body as object, 'appkey'))
      throw new Unauthenticated('X-Access-Token');
    // Nothing is done for a client that has hung up.
    if (request.cleanup.hasRun) throw new ClientGone();
    request.cleanup.add(this.admission.requests.take(subject));
    return true;
  }
}
