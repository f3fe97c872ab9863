import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { AuthenticationGuard } from '../http/authentication.guard';
import type { Spans } from './spans';

/** The guard, as a span. */
export class TracedGuard implements CanActivate {
  constructor(
    private readonly inner: AuthenticationGuard,
    private readonly spans: Spans,
  ) {}

  canActivate(context: ExecutionContext): Promise<boolean> {
    return this.spans.during('authenticate', () => this.inner.canActivate(context));
  }
}
