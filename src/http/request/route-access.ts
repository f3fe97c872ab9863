import {
  createParamDecorator,
  type ExecutionContext,
  SetMetadata,
  type CustomDecorator,
} from '@nestjs/common';
import type { Caller } from '../../authn/caller';
import type { ProviderRequest } from './provider-request';

/** Who may call a route. A route that is not marked is an app's. */
export type RouteAccess = 'app' | 'user' | 'event-sender' | 'public';

export const ROUTE_ACCESS = 'route-access';

/** Marks a route that may be called without credentials. */
export const PublicRoute = (): CustomDecorator => allow('public');

/** Marks a route of the Settings app, which calls it with the user's token. */
export const UserRoute = (): CustomDecorator => allow('user');

/** Marks a route for the cluster's system events, whose sender must be proven; no app and no user may call it. */
export const EventRoute = (): CustomDecorator => allow('event-sender');

/** The app that the guard authenticated. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<ProviderRequest>();
  if (caller === undefined) throw new Error("@CurrentCaller() on a route that is not an app's");
  return caller;
});

/** The user whom the guard authenticated on a @UserRoute(). */
export const CurrentUser = createParamDecorator((_data: unknown, context: ExecutionContext): string => {
  const { user } = context.switchToHttp().getRequest<ProviderRequest>();
  if (user === undefined) throw new Error('@CurrentUser() on a route that is not a @UserRoute()');
  return user;
});

function allow(access: RouteAccess): CustomDecorator {
  return SetMetadata(ROUTE_ACCESS, access);
}
