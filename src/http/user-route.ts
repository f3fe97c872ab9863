import {
  createParamDecorator,
  SetMetadata,
  type CustomDecorator,
  type ExecutionContext,
} from '@nestjs/common';
import type { ProviderRequest } from './provider-request';

export const USER_ROUTE = 'user-route';

/** Marks a route that a user calls with their own token, without any app. */
export const UserRoute = (): CustomDecorator => SetMetadata(USER_ROUTE, true);

/** The user whom the guard authenticated on a @UserRoute(). */
export const CurrentUser = createParamDecorator((_data: unknown, context: ExecutionContext): string => {
  const { user } = context.switchToHttp().getRequest<ProviderRequest>();
  if (user === undefined) throw new Error('@CurrentUser() on a route that is not a @UserRoute()');
  return user;
});
