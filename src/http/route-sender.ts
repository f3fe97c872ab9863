import { SetMetadata, type CustomDecorator } from '@nestjs/common';

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
