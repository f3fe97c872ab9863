import type { AuditRecord } from '../../src/audit/audit-sink';
import { KeyedMutex } from '../../src/concurrency/keyed-work';
import { TooManyRequests } from '../../src/errors/request-errors';
import { StoreOutcomeUnknown, StoreUnavailable, StoreUnreachable } from '../../src/errors/store-errors';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../../src/secrets/secret-store';
import {
  type Precondition,
  scopeKeyOf,
  type ScopeUsage,
  type Secret,
  type SecretScope,
  type CallContext,
} from '../../src/secrets/secret';
import { type ModelCommand, writes } from './secrets-model';

type StoreWrite = 'create' | 'update' | 'delete';

/** A call that reached the backend. */
export interface StoreCall {
  /** Undefined for a read. */
  readonly write?: StoreWrite;
  readonly scope: SecretScope;
  readonly name?: string;
  /** For the quota of a user; the caller learns nothing of it. */
  readonly isMeasurement?: true;
}

/** `lost`: the call is carried out, and its answer is not received. */
export const STORE_FAULTS = ['unreachable', 'unavailable', 'limited', 'lost'] as const;
export type StoreFault = (typeof STORE_FAULTS)[number];

/**
 * The innermost decorator: it records each call that reaches the backend, delays calls so that they overtake one another, and fails them as
 * planned.
 */
export class SpiedSecretStore extends SecretStoreDecorator implements ScopeSource {
  fault: StoreFault | undefined;
  /** Awaited before and after each call. */
  turn: () => Promise<unknown> = () => Promise.resolve();
  callsUnderWay = 0;
  readonly #writes = new KeyedMutex();

  /** @param calls to which calls are added */
  constructor(
    protected override readonly inner: CompleteSecretStore & Partial<ScopeSource>,
    readonly calls: StoreCall[],
  ) {
    super(inner);
  }

  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    const call = () => this.inner.create(scope, secret, context);
    return this.#spied({ write: 'create', scope, name: secret.name }, call);
  }

  override update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const call = () => this.inner.update(scope, secret, context, precondition);
    return this.#spied({ write: 'update', scope, name: secret.name }, call);
  }

  override delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const call = () => this.inner.delete(scope, name, context, precondition);
    return this.#spied({ write: 'delete', scope, name }, call);
  }

  override retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return this.#spied({ scope, name }, () => this.inner.retrieve(scope, name, context));
  }

  override list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    return this.#spied({ scope }, () => this.inner.list(scope, context));
  }

  override measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    return this.#spied({ scope, isMeasurement: true }, () => this.inner.measure(scope, context));
  }

  override sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    return this.#spied({ scope, name }, () => this.inner.sizeOf(scope, name, context));
  }

  async readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    context: CallContext,
  ): Promise<ScopeContents | 'unchanged'> {
    const { inner } = this;
    if (inner.readScope === undefined) throw new Error('This store does not read scopes.');
    const read = inner.readScope.bind(inner, scope, name, ifRevision, context);
    return this.#spied({ scope, name }, read);
  }

  /** Writes of a scope are answered one after the other, as by the stores themselves. */
  async #spied<T>(call: StoreCall, answer: () => Promise<T>): Promise<T> {
    if (call.write === undefined) return this.#inTurns(call, answer);
    return this.#writes.run(scopeKeyOf(call.scope), () => this.#inTurns(call, answer));
  }

  async #inTurns<T>(call: StoreCall, answer: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    this.callsUnderWay += 1;
    try {
      await this.turn();
      if (this.fault === 'unreachable') throw new StoreUnreachable();
      if (this.fault === 'unavailable') throw new StoreUnavailable();
      if (this.fault === 'limited') throw new TooManyRequests(1);
      const given = await answer();
      await this.turn();
      if (this.fault !== 'lost') return given;
      throw call.write === undefined ? new StoreUnreachable() : new StoreOutcomeUnknown();
    } finally {
      this.callsUnderWay -= 1;
    }
  }
}

const OPERATION_OF = { create: 'CreateSecret', update: 'UpdateSecret', delete: 'DeleteSecret' } as const;

/** @throws Error for a call that reached the backend although no command that was granted accounts for it */
export function requireGrants(calls: readonly StoreCall[], granted: readonly ModelCommand[]): void {
  const stray = calls.find(({ write, scope, name, isMeasurement }) => {
    // A write counts against the quota of its user, which is measured in all scopes.
    if (isMeasurement === true) return !granted.some((command) => writes(command) && command.scope.user === scope.user); // prettier-ignore
    const ofScope = granted.filter((command) => scopeKeyOf(command.scope) === scopeKeyOf(scope));
    if (write === undefined) return ofScope.length === 0;
    return !ofScope.some(({ operation, name: named }) => operation === OPERATION_OF[write] && named === name);
  });
  if (stray !== undefined) throw new Error(`a store call without a grant: ${JSON.stringify(stray)}`);
}

/** @throws Error for a write that reached the backend without a record of the attempt */
export function requireAttempts(calls: readonly StoreCall[], records: readonly AuditRecord[]): void {
  const attempts = records.filter(({ event }) => event === 'attempt');
  const unrecorded = calls.find(
    ({ write, scope, name }) =>
      write !== undefined &&
      !attempts.some((one) => one.operation === OPERATION_OF[write] && one.user === scope.user && one.workspace === scope.workspace && one.environment === scope.environment && one.name === name), // prettier-ignore
  );
  if (unrecorded !== undefined)
    throw new Error(`a write without an attempt in the audit: ${JSON.stringify(unrecorded)}`);
}
