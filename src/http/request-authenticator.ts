import { Injectable } from '@nestjs/common';
import { Unauthenticated, UserMismatch } from '../errors/identity-errors';
import { InvalidRequest } from '../errors/request-errors';
import { ProxiedCallerService } from '../grants/proxied-caller.service';
import type { Caller } from '../identity/caller';
import { CallerAuthenticator } from '../identity/caller-authenticator';
import { RbacProxyAuthenticator } from '../identity/rbac-proxy.authenticator';
import { bearerIn, credentialHeader, isPassedOn, namedUserIn, peerOf } from './credential-headers';
import { bodyProblem } from './json-body';
import { pathOf, type ProviderRequest } from './provider-request';
import { proxyRequestIn, workspaceIn, type ProxyRequest } from './proxy-request';

/** Finds out who sent a request: an app itself, or a proven system-server or proxy for it. */
@Injectable()
export class RequestAuthenticator {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly proxied: ProxiedCallerService,
    private readonly rbacProxy: RbacProxyAuthenticator,
  ) {}

  /** An app, by its own credentials or through somebody proven; a ProxyRequest is put into the direct form here. */
  async callerOf(request: ProviderRequest): Promise<Caller> {
    const proxyRequest = proxyRequestIn(request.body);
    if (proxyRequest !== undefined) return this.proxiedCallerOf(request, proxyRequest);
    const behindProxy = await this.rbacProxiedCallerOf(request);
    if (behindProxy !== undefined) return behindProxy;
    return this.authenticator.authenticate({
      userToken: credentialHeader(request, 'x-authorization'),
      accessToken: credentialHeader(request, 'x-access-token'),
      serviceAccountToken: bearerIn(request),
      peerAddress: request.socket.remoteAddress,
    });
  }

  /** system-server writes its ProxyRequests itself; one that it passes on, body and all, is somebody else's. */
  private async proxiedCallerOf(request: ProviderRequest, proxyRequest: ProxyRequest): Promise<Caller> {
    if (isPassedOn(request)) throw new Unauthenticated('X-Access-Token');
    const caller = await this.proxied.identify({
      appKey: proxyRequest.appKey,
      user: namedUserIn(request),
      peer: peerOf(request),
    });
    await this.requireSameUser(request, caller);
    const workspace = workspaceIn(proxyRequest, pathOf(request), caller.app);
    const { workspace: queried } = request.query;
    if (queried !== undefined && queried !== workspace)
      throw new InvalidRequest('workspace', 'must agree with op');
    const problem = bodyProblem(proxyRequest.data, 'data');
    if (problem !== undefined) throw problem;
    Object.defineProperty(request, 'query', { value: { workspace } });
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
