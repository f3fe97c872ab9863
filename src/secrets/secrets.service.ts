import { Injectable } from '@nestjs/common';
import { GrantsService, type GrantedScope } from '../authz/grants.service';
import type { Caller } from '../authn/caller';
import type { CallContext } from './call-context';
import type { Environment, Secret, SecretScope } from './secret';
import { type ListedSecrets, type RetrievedSecret, SecretStore } from './secret-store';

/** The place that a caller names; the grant is checked before anything is read from it. */
export interface SecretLocation {
  readonly workspace: string;
  readonly environment: Environment;
}

/** The five use-cases: each authorizes, then calls the store. */
@Injectable()
export class SecretsService {
  constructor(
    private readonly grants: GrantsService,
    private readonly store: SecretStore,
  ) {}

  async retrieve(
    caller: Caller,
    at: SecretLocation,
    name: string,
    context: CallContext,
  ): Promise<RetrievedSecret> {
    const scope = this.grants.authorize(caller, 'RetrieveSecret', at.workspace);
    return this.store.retrieve(within(scope, at), name, context);
  }

  async create(caller: Caller, at: SecretLocation, secret: Secret, context: CallContext): Promise<void> {
    const scope = this.grants.authorize(caller, 'CreateSecret', at.workspace);
    return this.store.create(within(scope, at), secret, context);
  }

  async update(caller: Caller, at: SecretLocation, secret: Secret, context: CallContext): Promise<void> {
    const scope = this.grants.authorize(caller, 'UpdateSecret', at.workspace);
    return this.store.update(within(scope, at), secret, context);
  }

  async delete(caller: Caller, at: SecretLocation, name: string, context: CallContext): Promise<void> {
    const scope = this.grants.authorize(caller, 'DeleteSecret', at.workspace);
    return this.store.delete(within(scope, at), name, context);
  }

  async list(caller: Caller, at: SecretLocation, context: CallContext): Promise<ListedSecrets> {
    const scope = this.grants.authorize(caller, 'ListSecret', at.workspace);
    return this.store.list(within(scope, at), context);
  }
}

function within(scope: GrantedScope, at: SecretLocation): SecretScope {
  return { user: scope.user, workspace: scope.workspace, environment: at.environment };
}
