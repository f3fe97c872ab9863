import { Injectable } from '@nestjs/common';
import { GrantsService } from '../authz/grants.service';
import type { Caller } from '../authn/caller';
import type { CallContext } from './call-context';
import type { Precondition, Environment, Secret } from './secret';
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
    const { user, workspace } = this.grants.authorize(caller, 'RetrieveSecret', at.workspace);
    return this.store.retrieve({ user, workspace, environment: at.environment }, name, context);
  }

  async create(caller: Caller, at: SecretLocation, secret: Secret, context: CallContext): Promise<void> {
    const { user, workspace } = this.grants.authorize(caller, 'CreateSecret', at.workspace);
    return this.store.create({ user, workspace, environment: at.environment }, secret, context);
  }

  async update(
    caller: Caller,
    at: SecretLocation,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const { user, workspace } = this.grants.authorize(caller, 'UpdateSecret', at.workspace);
    return this.store.update({ user, workspace, environment: at.environment }, secret, context, precondition);
  }

  async delete(
    caller: Caller,
    at: SecretLocation,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const { user, workspace } = this.grants.authorize(caller, 'DeleteSecret', at.workspace);
    return this.store.delete({ user, workspace, environment: at.environment }, name, context, precondition);
  }

  async list(caller: Caller, at: SecretLocation, context: CallContext): Promise<ListedSecrets> {
    const { user, workspace } = this.grants.authorize(caller, 'ListSecret', at.workspace);
    return this.store.list({ user, workspace, environment: at.environment }, context);
  }
}
