import type { StaticGrants } from '../authz/static-grants';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { SecretOperation } from '../authz/grant';
import type { GrantSource } from '../authz/grant-source';
import { GrantsService, type GrantedWorkspace, type WorkspaceSharing } from '../authz/grants.service';
import type { Caller } from '../authn/caller';
import type { AuthenticationGuard } from '../http/guards/authentication.guard';
import {
  type ListedSecrets,
  type RetrievedSecret,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../secrets/secret-store';

/** Records parts of a request as spans, with nothing of their result or error but the reason. */
export interface Spans {
  /** Does the work within a span, which ends when its promise does, if it returns one; outside of a traced request, without one. */
  during<T>(name: string, work: () => T): T;
}

/** Records each authorisation as a span. */
export class TracedGrantsService extends GrantsService {
  constructor(
    source: GrantSource,
    sharing: WorkspaceSharing,
    private readonly spans: Spans,
    statics?: StaticGrants,
  ) {
    super(source, sharing, statics);
  }

  override authorize(caller: Caller, operation: SecretOperation, workspace: string): GrantedWorkspace {
    return this.spans.during('authorise', () => super.authorize(caller, operation, workspace));
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

/** What an operation of the store is given, which is handed on as it is. */
type Given<Operation extends keyof CompleteSecretStore> = Parameters<CompleteSecretStore[Operation]>;

/** Records each operation on secrets as a span. */
export class TracedSecretStore extends SecretStoreDecorator {
  constructor(
    inner: CompleteSecretStore,
    private readonly spans: Spans,
  ) {
    super(inner);
  }

  override create(...given: Given<'create'>): Promise<void> {
    return this.spans.during('store create', () => this.inner.create(...given));
  }

  override retrieve(...given: Given<'retrieve'>): Promise<RetrievedSecret> {
    return this.spans.during('store retrieve', () => this.inner.retrieve(...given));
  }

  override update(...given: Given<'update'>): Promise<void> {
    return this.spans.during('store update', () => this.inner.update(...given));
  }

  override delete(...given: Given<'delete'>): Promise<void> {
    return this.spans.during('store delete', () => this.inner.delete(...given));
  }

  override list(...given: Given<'list'>): Promise<ListedSecrets> {
    return this.spans.during('store list', () => this.inner.list(...given));
  }
}
