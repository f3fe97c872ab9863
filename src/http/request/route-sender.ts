import {
  createParamDecorator,
  type ExecutionContext,
  SetMetadata,
  type CustomDecorator,
} from '@nestjs/common';
import type { Caller } from '../../authn/caller';
import type { ProviderRequest } from './provider-request';

/** The caller whom the guard authenticated. */
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

export const ROUTE_SENDER = 'route-sender';

/** Whose credentials the guard asks for. A route that is not marked is an app's. */
export type RouteSender = 'app' | 'user' | 'cluster' | 'anybody';

/** Lets a route be called without credentials. */
export const PublicRoute = (): CustomDecorator => sentBy('anybody');

/** A route of the Settings app, which calls it with the user's token. */
export const UserRoute = (): CustomDecorator => sentBy('user');

/** A route for the cluster's system events, whose sender must be proven; no app and no user calls it. */
export const EventRoute = (): CustomDecorator => sentBy('cluster');

function sentBy(sender: RouteSender): CustomDecorator {
  return SetMetadata(ROUTE_SENDER, sender);
}
