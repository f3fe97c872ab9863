import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { SecretOperation } from '../authz/grant';
import type { GrantSource } from '../authz/grant-source';
import { GrantsService, type GrantedScope, type WorkspaceSharing } from '../authz/grants.service';
import type { Caller } from '../authn/caller';
import type { Spans } from './telemetry';
import type { AuthenticationGuard } from '../http/guards/authentication.guard';
import type { SecretStore } from '../secrets/secret-store';
import { SecretStoreDecorator, type StoreCall } from '../secrets/secret-store-decorator';

/** Records each authorisation as a span. */
export class TracedGrantsService extends GrantsService {
  constructor(
    source: GrantSource,
    sharing: WorkspaceSharing,
    private readonly spans: Spans,
  ) {
    super(source, sharing);
  }

  override authorize(caller: Caller, operation: SecretOperation, workspace: string): GrantedScope {
    return this.spans.duringSync('authorise', () => super.authorize(caller, operation, workspace));
  }
}

/** Records each authentication as a span. */
export class TracedGuard implements CanActivate {
  constructor(
    private readonly inner: AuthenticationGuard,
    private readonly spans: Spans,
  ) {}

  canActivate(context: ExecutionContext): Promise<boolean> {
    return this.spans.during('authenticate', () => this.inner.canActivate(context));
  }
}

/** Records each call of the store as a span; background work belongs to no request and is only forwarded. */
export class TracedSecretStore extends SecretStoreDecorator {
  constructor(
    inner: SecretStore,
    private readonly spans: Spans,
  ) {
    super(inner);
  }

  protected intercept<T>({ method, scope }: StoreCall, next: () => Promise<T>): Promise<T> {
    return scope === undefined ? next() : this.spans.during(`store ${method}`, next);
  }
}
