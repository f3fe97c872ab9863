import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { EVENT_ROUTE } from './event-route';
import { EventSenders } from './event-senders';
import type { ProviderRequest } from './provider-request';
import { PUBLIC_ROUTE } from './public-route';
import { RequestAuthenticator } from './request-authenticator';
import { USER_ROUTE } from './user-route';

/** Authenticates the sender of every request whose route is not marked @PublicRoute(). */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly authenticator: RequestAuthenticator,
    private readonly eventSenders: EventSenders,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (this.isMarked(PUBLIC_ROUTE, context)) return true;
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    if (this.isMarked(EVENT_ROUTE, context)) await this.eventSenders.require(request);
    else if (this.isMarked(USER_ROUTE, context)) request.user = await this.authenticator.userOf(request);
    else request.caller = await this.authenticator.callerOf(request);
    return true;
  }

  private isMarked(mark: string, context: ExecutionContext): boolean {
    const places = [context.getHandler(), context.getClass()];
    return this.reflector.getAllAndOverride<boolean | undefined>(mark, places) === true;
  }
}
