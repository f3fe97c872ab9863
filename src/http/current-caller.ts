import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Caller } from '../identity/caller';
import type { ProviderRequest } from './provider-request';

/** The caller whom the guard authenticated. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<ProviderRequest>();
  if (caller === undefined) throw new Error('@CurrentCaller() on a public route');
  return caller;
});
