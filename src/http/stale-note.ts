import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Response } from 'express';
import type { ReadReport } from '../secrets/read-report';

/**
 * Says of an answer what a store that keeps what it read tells: how old it is, where that could not be confirmed.
 * `Cache-Status` is RFC 9211's; a `ttl` below zero is by how long it is stale, in seconds.
 */
export const StaleNote = createParamDecorator((_: unknown, context: ExecutionContext): ReadReport => {
  const response = context.switchToHttp().getResponse<Response>();
  return {
    servedStale: (ageMs) => {
      const ageS = Math.ceil(ageMs / 1000);
      response.setHeader('Age', String(ageS));
      response.setHeader(
        'Cache-Status',
        `olares-secret-provider; hit; ttl=-${ageS}; detail=STORE_UNAVAILABLE`,
      );
    },
  };
});
