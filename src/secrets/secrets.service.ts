import { Injectable } from '@nestjs/common';
import { GrantsService, type GrantedScope } from '../authz/grants.service';
import type { Caller } from '../authn/caller';
import type { Environment, Secret, SecretScope } from './secret';
import { type ReadReport, SecretStore } from './secret-store';

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

  async retrieve(caller: Caller, at: SecretLocation, name: string, report?: ReadReport): Promise<Secret> {
    const scope = this.grants.authorize(caller, 'RetrieveSecret', at.workspace);
    return this.store.retrieve(within(scope, at), name, report);
  }

  async create(caller: Caller, at: SecretLocation, secret: Secret): Promise<void> {
    const scope = this.grants.authorize(caller, 'CreateSecret', at.workspace);
    return this.store.create(within(scope, at), secret);
  }

  async update(caller: Caller, at: SecretLocation, secret: Secret): Promise<void> {
    const scope = this.grants.authorize(caller, 'UpdateSecret', at.workspace);
    return this.store.update(within(scope, at), secret);
  }

  async delete(caller: Caller, at: SecretLocation, name: string): Promise<void> {
    const scope = this.grants.authorize(caller, 'DeleteSecret', at.workspace);
    return this.store.delete(within(scope, at), name);
  }

  async list(caller: Caller, at: SecretLocation, report?: ReadReport): Promise<readonly Secret[]> {
    const scope = this.grants.authorize(caller, 'ListSecret', at.workspace);
    return this.store.list(within(scope, at), report);
  }
}

function within(scope: GrantedScope, at: SecretLocation): SecretScope {
  return { user: scope.user, workspace: scope.workspace, environment: at.environment };
}
