import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const EVENT_ROUTE = 'event-route';

/** Marks a route for the cluster's system events, whose sender must be proven; no app and no user calls it. */
export const EventRoute = (): CustomDecorator => SetMetadata(EVENT_ROUTE, true);
