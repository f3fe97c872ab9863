import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Caller } from '../identity/caller';
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
