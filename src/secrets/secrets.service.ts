import { Injectable } from '@nestjs/common';
import type { Caller } from '../authn/caller';
import {
  type Explanation,
  GrantsService,
  type GrantedWorkspace,
  type HeldWorkspace,
} from '../authz/grants.service';
import type { SecretOperation } from '../authz/grant';
import { AppHasNoWorkspace, WorkspaceNeeded } from '../errors/request-errors';
import { SecretNotFound } from '../errors/store-errors';
import { type ListedSecrets, type RetrievedSecret, SecretStore } from './secret-store';
import type { Environment, Precondition, Secret, SecretScope, CallContext } from './secret';

/** The place that a caller names; the grant is checked before anything is read from it. */
interface SecretLocation {
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

/** The secrets of an app, without their values. */
interface AppSecretNames {
  readonly names: readonly { readonly workspace: string; readonly name: string }[];
  /** The age of the oldest list among them that the cache answered, in milliseconds, if the store did not answer in time. */
  readonly staleForMs?: number;
}

export interface AppExplanation extends Explanation, Pick<HeldWorkspace, 'sharedWith'> {}

/** One app of one user, and a workspace if the caller names one. */
export interface AppSecretLocation {
  readonly user: string;
  readonly app: string;
  readonly workspace?: string;
}

/** An app may hold grants on a thousand workspaces, and each list waits at the store as work of its own workspace: all at once would leave others no place. */
const MAX_LISTS_AT_ONCE = 4;

/** The use-cases of the Settings app: secrets of an app, in prod, in all workspaces on which it holds a grant. Values are written, never read. */
@Injectable()
export class AppSecretsService {
  constructor(
    private readonly grants: GrantsService,
    private readonly store: SecretStore,
  ) {}

  holdsGrant(user: string, app: string): boolean {
    return (this.grants.grantedWorkspaces(user, app) ?? []).length > 0;
  }

  /** Returns the grants of the app and the apps that share them; [] where it is not installed. */
  explain(user: string, app: string): readonly HeldWorkspace[] {
    return this.grants.heldWorkspaces(user, app) ?? [];
  }

  /** Returns what decides an operation of the app, and which other apps of the user hold grants on the workspace. */
  explainOperation(user: string, app: string, operation: SecretOperation, workspace: string): AppExplanation {
    const held = this.explain(user, app).find((one) => one.workspace === workspace);
    const explanation = this.grants.explainOperation({ user, app, operations: 'any' }, operation, workspace);
    return { ...explanation, sharedWith: held?.sharedWith ?? [] };
  }

  async names(user: string, app: string, context: CallContext): Promise<AppSecretNames> {
    const scopes = this.grants.grantedWorkspaces(user, app) ?? [];
    const lists = await this.namesInEach(scopes, context);
    return { names: lists.flatMap(({ names }) => names), ...oldestOf(lists) };
  }

  /** @throws WorkspaceNeeded where the app has several workspaces and the caller names none, SecretAlreadyExists */
  async create(location: AppSecretLocation, secret: Secret, context: CallContext): Promise<void> {
    const [scope, another] = this.candidates(location);
    if (another !== undefined) throw new WorkspaceNeeded(location.app);
    await this.store.create(inProd(scope), secret, context);
  }

  async update(location: AppSecretLocation, secret: Secret, context: CallContext): Promise<void> {
    await this.store.update(inProd(await this.holderOf(location, secret.name, context)), secret, context);
  }

  async delete(location: AppSecretLocation, name: string, context: CallContext): Promise<void> {
    await this.store.delete(inProd(await this.holderOf(location, name, context)), name, context);
  }

  /** Returns the one workspace that contains the name. @throws SecretNotFound, WorkspaceNeeded where several do */
  private async holderOf(
    location: AppSecretLocation,
    name: string,
    context: CallContext,
  ): Promise<GrantedWorkspace> {
    const candidates = this.candidates(location);
    if (candidates.length === 1) return candidates[0];
    const lists = await this.namesInEach(candidates, context);
    const [holder, another] = candidates.filter((_, at) => lists[at]?.names.some((one) => one.name === name));
    if (holder === undefined) throw new SecretNotFound(name, oldestOf(lists).staleForMs);
    if (another !== undefined) throw new WorkspaceNeeded(location.app);
    return holder;
  }

  private candidates(location: AppSecretLocation): readonly [GrantedWorkspace, ...GrantedWorkspace[]] {
    const { user, app, workspace: named } = location;
    const scopes = this.grants.grantedWorkspaces(user, app) ?? [];
    const [first, ...rest] = scopes.filter(({ workspace }) => named === undefined || workspace === named);
    if (first === undefined) throw new AppHasNoWorkspace(app);
    return [first, ...rest];
  }

  private async namesInEach(
    scopes: readonly GrantedWorkspace[],
    context: CallContext,
  ): Promise<readonly AppSecretNames[]> {
    const lists: AppSecretNames[] = [];
    const waiting = [...scopes.entries()];
    // Each goes on to the next scope by itself, so that a slow list holds up no others.
    const listWaiting = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [at, scope] = next;
        lists[at] = await this.namesIn(scope, context);
      }
    };
    try {
      await Promise.all(Array.from({ length: MAX_LISTS_AT_ONCE }, listWaiting));
      return lists;
    } finally {
      // After a failure no more are asked for.
      waiting.length = 0;
    }
  }

  private async namesIn(scope: GrantedWorkspace, context: CallContext): Promise<AppSecretNames> {
    const { secrets, unreadable = [], staleForMs } = await this.store.list(inProd(scope), context);
    // A name whose value cannot be read can still be written and deleted.
    const names = [...unreadable, ...secrets.map(({ name }) => name)];
    return {
      names: names.sort().map((name) => ({ workspace: scope.workspace, name })),
      ...(staleForMs !== undefined && { staleForMs }),
    };
  }
}

function oldestOf(lists: readonly Pick<AppSecretNames, 'staleForMs'>[]): Pick<AppSecretNames, 'staleForMs'> {
  const agesMs = lists.flatMap(({ staleForMs }) => staleForMs ?? []);
  return agesMs.length === 0 ? {} : { staleForMs: Math.max(...agesMs) };
}

function inProd({ user, workspace }: GrantedWorkspace): SecretScope {
  return { user, workspace, environment: 'prod' };
}
