import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Unauthenticated } from '../../errors/authn-errors';
import { PeerVerifier } from '../../authn/peer-verifier';
import { isForwarded, peerOf } from '../request/credential-headers';
import type { ProviderRequest } from '../request/provider-request';
import { Reflector } from '@nestjs/core';
import { RequestAuthenticator } from './request-authenticator';
import { ROUTE_SENDER, type RouteSender } from '../request/route-sender';
import { SettingsCallers } from './settings-callers';

/** Knows the cluster's own sender of system events. */
@Injectable()
export class EventSenders {
  constructor(private readonly peers: PeerVerifier) {}

  /** The sender writes its events itself; one that it passes on is somebody else's. @throws Unauthenticated, IdentityUnavailable */
  async require(request: ProviderRequest): Promise<void> {
    const isProven = !isForwarded(request) && (await this.peers.provesEventSender(peerOf(request)));
    if (!isProven) throw new Unauthenticated('Authorization');
  }
}

/** Authenticates the sender of every request, as its route is marked; an app, where it is not. */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly authenticator: RequestAuthenticator,
    private readonly settingsCallers: SettingsCallers,
    private readonly eventSenders: EventSenders,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    const places = [context.getHandler(), context.getClass()];
    switch (this.reflector.getAllAndOverride<RouteSender | undefined>(ROUTE_SENDER, places) ?? 'app') {
      case 'anybody':
        return true;
      case 'cluster':
        await this.eventSenders.require(request);
        return true;
      case 'user':
        request.user = await this.settingsCallers.userOf(request);
        return true;
      case 'app':
        request.caller = await this.authenticator.callerOf(request);
        return true;
    }
  }
}
