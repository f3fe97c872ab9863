import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core/services';
import { Unauthenticated } from '../../errors/authn-errors';
import { PeerVerifier } from '../../authn/peer-verifier';
import { isForwarded, peerOf } from '../request/credential-headers';
import type { ProviderRequest } from '../request/provider-request';
import { RequestAuthenticator } from './request-authenticator';
import { ROUTE_ACCESS, type RouteAccess } from '../request/route-access';
import { SettingsCallers } from './settings-callers';

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
  }
}
