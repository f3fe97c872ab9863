import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core/services';
import { type Caller, CallerAuthenticator, RbacProxyAuthenticator } from '../../authn/caller';
import { type Peer, PeerVerifier } from '../../authn/peer-verifier';
import { ProxiedCallerService } from '../../authz/access.service';
import { grantKey, PROVIDER } from '../../authz/grant';
import { StaticCallers } from '../../authz/static-grants';
import { parseOp } from '../../authz/sys-data';
import { InvalidRequest, Unauthenticated, UserMismatch, NotSettingsApp } from '../../errors/request-errors';
import {
  credentialHeader,
  isForwarded,
  PLAIN_USER,
  peerOf,
  settingsTokenIn,
} from '../request/credential-headers';
import { type ProviderRequest, ROUTE_ACCESS, type RouteAccess } from '../request/provider-request';
import { RequestBodies, requireObject } from '../server/request-bodies';

/** Finds out which app a request is for: it was sent by the app itself, or for it by a proven system-server or proxy. */
@Injectable()
export class RequestAuthenticator {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly proxied: ProxiedCallerService,
    private readonly rbacProxy: RbacProxyAuthenticator,
    private readonly staticCallers: StaticCallers,
    private readonly bodies: RequestBodies,
  ) {}

  /**
   * Returns the app that calls, by its own credentials or through a proven peer, and unwraps a ProxyRequest. Headers and
   * peer decide before the body is read; only the body of a proven peer may name an app.
   */
  async callerOf(request: ProviderRequest): Promise<Caller> {
    const peer = peerOf(request);
    const named = credentialHeader(request, 'x-bfl-user');
    // It is a claim and proves nothing.
    const user = named !== undefined && PLAIN_USER.test(named) ? named : undefined;
    // system-server writes its ProxyRequests itself; one that it forwards, body and all, was written by somebody else.
    const isOperation = request.target.operation !== undefined;
    if (
      isOperation &&
      user !== undefined &&
      !isForwarded(request) &&
      (await this.proxied.isProven(peer, user))
    ) {
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
      request.provenBy = ['rbac_proxy'];
      if (caller !== undefined) return this.ofSameUser(request, caller);
    }
    const ofSystem = accessToken === undefined ? await this.systemCallerOf(request, peer, user) : undefined;
    if (ofSystem !== undefined) return ofSystem;
    const userToken = credentialHeader(request, 'x-authorization');
    if (request.audit !== undefined)
      request.provenBy = [
        ...(userToken === undefined ? [] : ['user_token']),
        ...(accessToken === undefined ? [] : ['access_token']),
        ...(peer.bearer === undefined ? [] : ['service_account']),
      ];
    return this.authenticator.authenticate({ userToken, accessToken, peer });
  }

  /** Returns the system's own caller whom STATIC_GRANTS names; undefined where it is none of them. @throws as callerOf */
  private async systemCallerOf(
    request: ProviderRequest,
    peer: Peer,
    user: string | undefined,
  ): Promise<Caller | undefined> {
    const found = await this.staticCallers.callerOf({ peer, user, isForwarded: isForwarded(request) });
    if (found === undefined) return undefined;
    request.target = { ...request.target, responseStyle: found.responseStyle };
    request.provenBy = ['static_grant'];
    if (found.userTokenRequired && credentialHeader(request, 'x-authorization') === undefined)
      throw new Unauthenticated('X-Authorization');
    return this.ofSameUser(request, found.caller);
  }

  private async proxiedCallerOf(
    request: ProviderRequest,
    proxyRequest: ProxyRequest,
    user: string,
  ): Promise<Caller> {
    request.provenBy = ['proxy_request'];
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
    request.provenBy = [...(request.provenBy ?? []), 'user_token'];
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

/** `service-accounts`: the proven Settings app of the user may call; `user-token`: whoever holds the user's token may. */
type SettingsRoutesMode = 'off' | 'service-accounts' | 'user-token';

/** Finds out for whom the Settings app calls. In a cluster the user's token is not enough: every app sends it, so every app holds it. */
export class SettingsCallers {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly peers: PeerVerifier,
    private readonly mode: SettingsRoutesMode,
    /** The LLDAP group whose members may act for other users; undefined: nobody may. */
    private readonly adminGroup: string | undefined,
  ) {}

  /**
   * Returns the user of the token; for an administrator, the user whom the query names. The frontend must be that of the
   * token's user in both cases. It forwards what a browser sent, so forwarding headers do not matter here.
   * @throws Unauthenticated (401), NotSettingsApp, CrossSiteRequest, UserMismatch (403), IdentityUnavailable (503), TooManyRequests (429)
   */
  async userOf(request: ProviderRequest): Promise<string> {
    const own = await this.authenticator.authenticateUser(settingsTokenIn(request));
    if (this.mode !== 'user-token' && !(await this.peers.provesSettings(peerOf(request), own.user)))
      throw new NotSettingsApp();
    const token = credentialHeader(request, 'x-authorization') === undefined ? 'login_cookie' : 'user_token';
    request.provenBy = this.mode === 'user-token' ? [token] : [token, 'settings_app'];
    const { user: named } = request.query;
    if (named === undefined || named === own.user) return own.user;
    const isAdministrator = this.adminGroup !== undefined && own.groups.includes(this.adminGroup);
    if (typeof named !== 'string' || !isAdministrator) throw new UserMismatch();
    request.administrator = own.user;
    return named;
  }
}

/** Authenticates every request as its route demands; a route that is not marked is an app's. */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly authenticator: RequestAuthenticator,
    private readonly settingsCallers: SettingsCallers,
    private readonly peers: PeerVerifier,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    const targets = [context.getHandler(), context.getClass()];
    switch (this.reflector.getAllAndOverride<RouteAccess | undefined>(ROUTE_ACCESS, targets) ?? 'app') {
      case 'public':
        return true;
      case 'event-sender':
        await this.requireEventSender(request);
        return true;
      case 'user':
        request.user = await this.settingsCallers.userOf(request);
        return true;
      case 'app':
        request.caller = await this.authenticator.callerOf(request);
        return true;
    }
  }

  /** The sender writes its events itself; one that it forwards was written by somebody else. @throws Unauthenticated, IdentityUnavailable */
  private async requireEventSender(request: ProviderRequest): Promise<void> {
    const isProven = !isForwarded(request) && (await this.peers.provesEventSender(peerOf(request)));
    if (!isProven) throw new Unauthenticated('Authorization');
    request.provenBy = ['event_sender'];
  }
}
