import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { EventSenders } from './event-senders';
import type { ProviderRequest } from './provider-request';
import { RequestAuthenticator } from './request-authenticator';
import { ROUTE_SENDER, type RouteSender } from './route-sender';
import { SettingsCallers } from './settings-callers';

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
