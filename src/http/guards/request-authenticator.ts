import { Injectable } from '@nestjs/common';
import { UserMismatch } from '../../errors/authn-errors';
import { InvalidRequest } from '../../errors/request-errors';
import { grantKey, PROVIDER } from '../../authz/grant';
import { parseOp } from '../../authz/sys-data';
import { ProxiedCallerService } from '../../authz/access.service';
import type { Caller } from '../../authn/caller';
import { CallerAuthenticator } from '../../authn/caller-authenticator';
import { RbacProxyAuthenticator } from '../../authn/rbac-proxy.authenticator';
import { credentialHeader, isForwarded, namedUserIn, peerOf } from '../request/credential-headers';
import type { ProviderRequest } from '../request/provider-request';
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
    const peer = peerOf(request);
    const user = namedUserIn(request);
    // system-server writes its ProxyRequests itself; one that it forwards, body and all, was written by somebody else.
    if (user !== undefined && !isForwarded(request) && (await this.proxied.isProven(peer, user))) {
      request.hasProvenPeer = true;
      await this.bodies.read(request);
      const proxyRequest = proxyRequestIn(request.body);
      if (proxyRequest !== undefined) return this.proxiedCallerOf(request, proxyRequest, user);
    }
    const accessToken = credentialHeader(request, 'x-access-token');
    const remoteUser = credentialHeader(request, 'x-remote-user');
    // A request with an access token is authenticated by that, and not by what an RBAC proxy names.
    if (accessToken === undefined && remoteUser !== undefined) {
      const caller = await this.rbacProxy.callerOf({ peer, user, remoteUser });
      if (caller !== undefined) return this.ofSameUser(request, caller);
    }
    const userToken = credentialHeader(request, 'x-authorization');
    return this.authenticator.authenticate({ userToken, accessToken, peer });
  }

  private async proxiedCallerOf(
    request: ProviderRequest,
    proxyRequest: ProxyRequest,
    user: string,
  ): Promise<Caller> {
    const caller = await this.ofSameUser(request, this.proxied.identify(proxyRequest.appKey, user));
    const workspace = workspaceIn(proxyRequest, request.target.path, caller.app);
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

  /** A proxy need not send the user's token; one that it sends must be valid and of the same user. @throws UserMismatch */
  private async ofSameUser(request: ProviderRequest, caller: Caller): Promise<Caller> {
    const userToken = credentialHeader(request, 'x-authorization');
    if (userToken === undefined) return caller;
    const own = await this.authenticator.authenticateUser(userToken);
    if (own.user !== caller.user) throw new UserMismatch();
    return caller;
  }
}

/** system-server's ProxyRequest (contract, section 5.1), with the fields that we use. */
interface ProxyRequest {
  readonly appKey: string;
  /** The operation that the app asked for, with its workspace, which the URI of the call does not have. */
  readonly op: unknown;
  readonly tuple: Readonly<Record<'dataType' | 'group' | 'version', unknown>>;
  /** The operation's own body. */
  readonly data: unknown;
}

/** Returns the ProxyRequest in a body with an `appkey`, which no operation of ours has. */
function proxyRequestIn(body: unknown): ProxyRequest | undefined {
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, 'appkey')) return undefined;
  const { appkey, op, datatype, group, version, data } = body as Record<string, unknown>;
  return {
    appKey: typeof appkey === 'string' ? appkey : '',
    op,
    tuple: { dataType: datatype, group, version },
    data: data ?? {},
  };
}

/** Returns the workspace of the op. @throws InvalidRequest where the op is not the operation that the path names */
function workspaceIn({ op, tuple }: ProxyRequest, path: string, app: string): string {
  for (const key of ['dataType', 'group', 'version'] as const) {
    if (tuple[key] !== PROVIDER[key]) throw new InvalidRequest(key.toLowerCase(), `must be ${PROVIDER[key]}`);
  }
  const parsed = parseOp(op, app);
  if (!('operation' in parsed) || `/${parsed.operation}` !== path) {
    const expected = grantKey('RetrieveSecret', '<name>').replace('RetrieveSecret', path.slice(1));
    throw new InvalidRequest('op', `must be ${expected}`);
  }
  return parsed.workspace;
}
