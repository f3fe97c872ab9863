import type { SecretOperation } from '../../src/authz/grant';
import type { Reason } from '../../src/errors/domain-error';
import { scopeKeyOf, type SecretScope } from '../../src/secrets/secret';

/** One operation that an app asks for. */
export interface ModelCommand {
  readonly operation: SecretOperation;
  readonly app: string;
  readonly scope: SecretScope;
  readonly name: string;
  /** Of a create or an update; no two commands write the same. */
  readonly value: string;
  /** Of an update or a delete with `If-Match`: it takes effect only where the secret has this value. */
  readonly ifValue?: string;
  /** The client closes its connection soon after it has sent the request. */
  readonly hangsUp: boolean;
}

/** How a command ended for its client. */
export type ModelOutcome =
  | { readonly kind: 'done'; readonly secrets: Readonly<Record<string, string>> }
  | { readonly kind: 'refused'; readonly reason: Reason }
  /** No answer arrived. */
  | { readonly kind: 'gone' };

export interface CompletedCommand {
  readonly command: ModelCommand;
  readonly outcome: ModelOutcome;
}

/** What was the case while commands ran; each is a reason for refusals. */
export interface Conditions {
  readonly storeFails: boolean;
  readonly auditFails: boolean;
  readonly stops: boolean;
  /** Whether the app held the grant all the time, at no time, or for a part of it. */
  granted(command: ModelCommand): 'always' | 'never' | 'partly';
}

/** The secrets of one scope by name, as JSON with sorted names, so that equal states are equal strings. */
type State = string;

export const MAX_SECRETS_OF_WORKSPACE = 3;
export const MAX_SECRETS_OF_USER = 7;

const NO_SECRETS: State = '{}';

/**
 * What the service promises, without any of its parts: a map of secrets for each scope, on which commands take effect one after another. Where
 * the outcome of a write is unknown, several states are possible until a later answer tells them apart.
 */
export class SecretsModel {
  readonly #states = new Map<string, ReadonlySet<State>>();

  /** Takes what ran at the same time. @throws Error where no order of the commands explains their outcomes */
  completed(all: readonly CompletedCommand[], conditions: Conditions): void {
    const refusal = all.find((one) => !this.#mayBeRefusedSo(one, all, conditions));
    if (refusal !== undefined) throw unexplained('a refusal has no cause', [refusal], this.#statesOf(refusal.command.scope)); // prettier-ignore
    for (const key of new Set(all.map(({ command }) => scopeKeyOf(command.scope)))) {
      const ofScope = all.filter(({ command }) => scopeKeyOf(command.scope) === key);
      const before = this.#states.get(key) ?? new Set([NO_SECRETS]);
      const after = statesAfter(before, ofScope);
      if (after.size === 0) throw unexplained('no order of the commands explains the answers', ofScope, before); // prettier-ignore
      this.#states.set(key, after);
    }
  }

  /** Returns whether the secrets are those of a possible state; from now on no other state is possible. */
  observed(scope: SecretScope, secrets: Readonly<Record<string, string>>): boolean {
    const state = stateOf(secrets);
    const isPossible = this.#statesOf(scope).has(state);
    this.#states.set(scopeKeyOf(scope), new Set([state]));
    return isPossible;
  }

  #mayBeRefusedSo(
    { command, outcome }: CompletedCommand,
    all: readonly CompletedCommand[],
    conditions: Conditions,
  ): boolean {
    const granted = conditions.granted(command);
    const refusedFor = outcome.kind === 'refused' ? outcome.reason : undefined;
    if (refusedFor === 'NOT_GRANTED') return granted !== 'always';
    if (outcome.kind === 'gone') return command.hangsUp || conditions.stops;
    const { storeFails, auditFails, stops } = conditions;
    // Whoever holds no grant may learn that the service stops or cannot record, and nothing of the store.
    if (refusedFor === 'AUDIT_UNAVAILABLE') return auditFails;
    if (refusedFor === 'SHUTTING_DOWN') return stops;
    if (granted === 'never') return false;
    // The order of the commands tells.
    if (
      refusedFor === undefined ||
      refusedFor === 'SECRET_NOT_FOUND' ||
      refusedFor === 'SECRET_ALREADY_EXISTS' ||
      refusedFor === 'PRECONDITION_FAILED'
    )
      return true;
    if (refusedFor === 'QUOTA_EXCEEDED')
      return command.operation === 'CreateSecret' && this.#mayExceedQuota(command.scope, all);
    if (refusedFor === 'STORE_OUTCOME_UNKNOWN') return (storeFails || auditFails) && writes(command);
    return storeFails && (refusedFor === 'STORE_UNAVAILABLE' || refusedFor === 'TOO_MANY_REQUESTS');
  }

  /** Writes under way count as if they had succeeded, and a delete frees nothing before it has ended. */
  #mayExceedQuota(scope: SecretScope, all: readonly CompletedCommand[]): boolean {
    const creates = all.filter(({ command }) => command.operation === 'CreateSecret');
    const ofUser = creates.filter(({ command }) => command.scope.user === scope.user);
    const key = scopeKeyOf(scope);
    const ofScope = ofUser.filter(({ command }) => scopeKeyOf(command.scope) === key);
    const held = [...this.#states]
      .filter(([other]) => JSON.parse(other)[0] === scope.user)
      .map(([other, states]): [string, number] => [other, mostSecretsIn(states)]);
    const inScope = new Map(held).get(key) ?? 0;
    const inAll = held.reduce((sum, [, count]) => sum + count, 0);
    return inScope + ofScope.length > MAX_SECRETS_OF_WORKSPACE || inAll + ofUser.length > MAX_SECRETS_OF_USER;
  }

  #statesOf(scope: SecretScope): ReadonlySet<State> {
    return this.#states.get(scopeKeyOf(scope)) ?? new Set([NO_SECRETS]);
  }
}

export function writes({ operation }: ModelCommand): boolean {
  return operation !== 'RetrieveSecret' && operation !== 'ListSecret';
}

/** Returns all states in which the scope may be after the commands took effect in some order (Wing and Gong, 1993). */
function statesAfter(before: ReadonlySet<State>, commands: readonly CompletedCommand[]): ReadonlySet<State> {
  const after = new Set<State>();
  const seen = new Set<string>();
  const all = (1 << commands.length) - 1;
  const visit = (state: State, taken: number): void => {
    const key = `${taken} ${state}`;
    if (seen.has(key)) return;
    seen.add(key);
    if (taken === all) after.add(state);
    commands.forEach((one, at) => {
      if ((taken & (1 << at)) !== 0) return;
      for (const next of statesAfterOne(state, one)) visit(next, taken | (1 << at));
    });
  };
  for (const state of before) visit(state, 0);
  return after;
}

/** Returns the states after one command with that outcome: none where the outcome is impossible. */
function statesAfterOne(state: State, { command, outcome }: CompletedCommand): readonly State[] {
  const secrets = JSON.parse(state) as Record<string, string>;
  const exists = Object.hasOwn(secrets, command.name);
  if (outcome.kind === 'gone') return [state, ...written(secrets, command)];
  if (outcome.kind === 'refused') {
    if (outcome.reason === 'STORE_OUTCOME_UNKNOWN') return [state, ...written(secrets, command)];
    if (outcome.reason === 'SECRET_NOT_FOUND') return exists ? [] : [state];
    if (outcome.reason === 'SECRET_ALREADY_EXISTS') return exists ? [state] : [];
    if (outcome.reason === 'PRECONDITION_FAILED')
      return exists && !isCurrent(secrets, command) ? [state] : [];
    return [state];
  }
  if (writes(command)) return written(secrets, command);
  if (command.operation === 'ListSecret') return stateOf(outcome.secrets) === state ? [state] : [];
  return exists && outcome.secrets[command.name] === secrets[command.name] ? [state] : [];
}

/** Returns the state after a write, or none where it would have been refused. */
function written(secrets: Readonly<Record<string, string>>, command: ModelCommand): readonly State[] {
  const { operation, name, value } = command;
  if (!writes(command) || Object.hasOwn(secrets, name) === (operation === 'CreateSecret')) return [];
  if (!isCurrent(secrets, command)) return [];
  const { [name]: _before, ...others } = secrets;
  return [stateOf(operation === 'DeleteSecret' ? others : { ...others, [name]: value })];
}

function isCurrent(secrets: Readonly<Record<string, string>>, { name, ifValue }: ModelCommand): boolean {
  return ifValue === undefined || secrets[name] === ifValue;
}

function stateOf(secrets: Readonly<Record<string, string>>): State {
  return JSON.stringify(Object.fromEntries(Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1))));
}

function mostSecretsIn(states: ReadonlySet<State>): number {
  return Math.max(...[...states].map((state) => Object.keys(JSON.parse(state)).length));
}

function unexplained(what: string, commands: readonly CompletedCommand[], before: ReadonlySet<State>): Error {
  const lines = commands.map(({ command, outcome }) => `  ${JSON.stringify(command)}: ${JSON.stringify(outcome)}`); // prettier-ignore
  return new Error(`${what}:\n${lines.join('\n')}\n  possible before: ${[...before].join(' or ')}`);
}
