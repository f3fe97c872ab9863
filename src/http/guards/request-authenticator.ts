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
import { requireObject, RequestBodies } from '../server/request-bodies';

/** Finds out which app a request is for: it was sent by the app itself, or for it by a proven system-server or proxy. */
@Injectable()
export class RequestAuthenticator {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly proxied: ProxiedCallerService,
    private readonly rbacProxy: RbacProxyAuthenticator,
    private readonly bodies: RequestBodies,
  ) {}

  /**
   * Returns the app that calls, by its own credentials or through a proven peer, and unwraps a ProxyRequest. Headers and
   * peer decide before the body is read; only the body of a proven peer may name an app.
   */
  async callerOf(request: ProviderRequest): Promise<Caller> {
    const user = await this.provenFor(request);
    if (user !== undefined) {
      request.hasProvenPeer = true;
      await this.bodies.read(request);
      const proxyRequest = proxyRequestIn(request.body);
      if (proxyRequest !== undefined) return this.proxiedCallerOf(request, proxyRequest, user);
    }
    const rbacProxied = await this.rbacProxiedCallerOf(request);
    if (rbacProxied !== undefined) return rbacProxied;
    return this.authenticator.authenticate({
      userToken: credentialHeader(request, 'x-authorization'),
      accessToken: credentialHeader(request, 'x-access-token'),
      serviceAccountToken: bearerIn(request),
      peerAddress: request.socket.remoteAddress,
    });
  }

  /**
   * Returns the user for whom the peer may send ProxyRequests; undefined where the peer is not proven. system-server
   * writes its ProxyRequests itself; one that it forwards, body and all, was written by somebody else.
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
    requireObject(proxyRequest.data, 'data');
    request.target = { ...request.target, query: { workspace } };
    Object.defineProperty(request, 'query', { value: request.target.query });
    request.body = proxyRequest.data;
    request.isProxied = true;
    return caller;
  }

  /** Returns the app that an RBAC proxy names; a request with an access token is authenticated by that instead. */
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

  /** A proxy need not send the user's token; one that it sends must be valid and of the same user. @throws UserMismatch */
  private async requireSameUser(request: ProviderRequest, caller: Caller): Promise<void> {
    const userToken = credentialHeader(request, 'x-authorization');
    if (userToken === undefined) return;
    const own = await this.authenticator.authenticateUser(userToken);
    if (own.user !== caller.user) throw new UserMismatch();
  }
}
