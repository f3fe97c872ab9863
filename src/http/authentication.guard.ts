import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { UserMismatch } from '../errors/identity-errors';
import { CallerAuthenticator } from '../identity/caller-authenticator';
import type { VerifiedUser } from '../identity/user-token.verifier';
import { Administrators } from './administrators';
import type { ProviderRequest } from './provider-request';
import { PUBLIC_ROUTE } from './public-route';
import { USER_ROUTE } from './user-route';

/** Authenticates the caller of every route that is not marked @PublicRoute(). */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly reflector: Reflector,
    private readonly administrators: Administrators,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const places = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC_ROUTE, places) === true) return true;
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    if (this.reflector.getAllAndOverride<boolean | undefined>(USER_ROUTE, places) === true) {
      const own = await this.authenticator.authenticateUser(header(request, 'x-authorization'));
      request.user = this.actingFor(own, request.query['user']);
      return true;
    }
    request.caller = await this.authenticator.authenticate({
      userToken: header(request, 'x-authorization'),
      accessToken: header(request, 'x-access-token'),
    });
    return true;
  }

  /** A user acts for themself; an administrator also for the user whom the query names. */
  private actingFor(own: VerifiedUser, named: unknown): string {
    if (named === undefined || named === own.user) return own.user;
    const { group } = this.administrators;
    if (typeof named !== 'string' || group === undefined || !own.groups.includes(group))
      throw new UserMismatch();
    return named;
  }
}

/** A header that was sent twice arrives joined with a comma, which no token verifies with. An empty one counts as absent. */
function header(request: ProviderRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
