import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { CallerAuthenticator } from '../identity/caller-authenticator';
import type { ProviderRequest } from './provider-request';
import { PUBLIC_ROUTE } from './public-route';

/** Authenticates the caller of every route that is not marked @PublicRoute(). */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const places = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC_ROUTE, places) === true) return true;
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    request.caller = await this.authenticator.authenticate({
      userToken: header(request, 'x-authorization'),
      accessToken: header(request, 'x-access-token'),
    });
    return true;
  }
}

/** A header that was sent twice arrives joined with a comma, which no token verifies with. An empty one counts as absent. */
function header(request: ProviderRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
