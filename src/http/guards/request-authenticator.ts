import { Injectable } from '@nestjs/common';
import { UserMismatch } from '../../errors/authn-errors';
import { InvalidRequest } from '../../errors/request-errors';
import { ProxiedCallerService } from '../../authz/access.service';
import type { Caller } from '../../authn/caller';
import { CallerAuthenticator } from '../../authn/caller-authenticator';
import { RbacProxyAuthenticator } from '../../authn/rbac-proxy.authenticator';
import { bearerIn, credentialHeader, isForwarded, namedUserIn, peerOf } from '../request/credential-headers';
import { pathOf, type ProviderRequest } from '../request/provider-request';
import { proxyRequestIn, workspaceIn, type ProxyRequest } from '../request/proxy-request';
import { bodyProblem, RequestBodies } from '../server/request-bodies';

/** Finds out who sent a request: an app itself, or a proven system-server or proxy for it. */
@Injectable()
export class RequestAuthenticator {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly proxied: ProxiedCallerService,
    private readonly rbacProxy: RbacProxyAuthenticator,
    private readonly bodies: RequestBodies,
  ) {}

  /**
   * An app, by its own credentials or through somebody proven; a ProxyRequest is put into the direct form here. All is told
   * by the headers and the peer, before the body is read; only the body of a proven peer names an app.
   */
  async callerOf(request: ProviderRequest): Promise<Caller> {
    const user = await this.provenFor(request);
    if (user !== undefined) {
      request.hasProvenPeer = true;
      await this.bodies.read(request);
      const proxyRequest = proxyRequestIn(request.body);
      if (proxyRequest !== undefined) return this.proxiedCallerOf(request, proxyRequest, user);
    }
    const behindProxy = await this.rbacProxiedCallerOf(request);
    if (behindProxy !== undefined) return behindProxy;
    return this.authenticator.authenticate({
      userToken: credentialHeader(request, 'x-authorization'),
      accessToken: credentialHeader(request, 'x-access-token'),
      serviceAccountToken: bearerIn(request),
      peerAddress: request.socket.remoteAddress,
    });
  }

  /**
   * The user for whom the peer may send ProxyRequests; undefined where it is nobody proven. system-server writes its
   * ProxyRequests itself; one that it passes on, body and all, is somebody else's.
   */
  private async provenFor(request: ProviderRequest): Promise<string | undefined> {
    const user = namedUserIn(request);
    if (user === undefined || isForwarded(request)) return undefined;
    return (await this.proxied.isProven(peerOf(request), user)) ? user : undefined;
  }

  private async proxiedCallerOf(
    request: ProviderRequest,
    proxyRequest: ProxyRequest,
    user: string,
  ): Promise<Caller> {
    const caller = this.proxied.identify(proxyRequest.appKey, user);
    await this.requireSameUser(request, caller);
    const workspace = workspaceIn(proxyRequest, pathOf(request), caller.app);
    const { workspace: queried } = request.query;
    if (queried !== undefined && queried !== workspace)
      throw new InvalidRequest('workspace', 'must agree with op');
    const problem = bodyProblem(proxyRequest.data, 'data');
    if (problem !== undefined) throw problem;
    request.target = { ...request.target, query: { workspace } };
    Object.defineProperty(request, 'query', { value: request.target.query });
    request.body = proxyRequest.data;
    request.isProxied = true;
    return caller;
  }

  /** An access token counts instead of a proxy's headers. */
  private async rbacProxiedCallerOf(request: ProviderRequest): Promise<Caller | undefined> {
    if (credentialHeader(request, 'x-access-token') !== undefined) return undefined;
    const caller = await this.rbacProxy.callerOf({
      peer: peerOf(request),
      user: namedUserIn(request),
      remoteUser: credentialHeader(request, 'x-remote-user'),
    });
    if (caller !== undefined) await this.requireSameUser(request, caller);
    return caller;
  }

  /** Whoever speaks for an app need not bring the user's token; one that is brought must be good, and the same user's. */
  private async requireSameUser(request: ProviderRequest, caller: Caller): Promise<void> {
    const userToken = credentialHeader(request, 'x-authorization');
    if (userToken === undefined) return;
    const own = await this.authenticator.authenticateUser(userToken);
    if (own.user !== caller.user) throw new UserMismatch();
  }
}
