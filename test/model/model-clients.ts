import type { Agent } from 'node:http';
import { grantKey, SECRET_OPERATIONS } from '../../src/authz/grant';
import { DomainError, type Reason, STATUS_OF } from '../../src/errors/domain-error';
import { AuditUnavailable, ClientGone } from '../../src/errors/request-errors';
import { PreconditionFailed } from '../../src/errors/store-errors';
import { EntityTags } from '../../src/http/controllers/secrets.controller';
import { type Precondition, scopeKeyOf, type Secret, type CallContext } from '../../src/secrets/secret';
import { SecretsService } from '../../src/secrets/secrets.service';
import type { Clock } from '../../src/time/clock';
import { type Answer, httpCall } from '../support/http-call';
import type { Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';
import { type ModelCommand, type ModelOutcome, writes } from './secrets-model';

/** Sends a command to the service, and ends as its client saw it end. @throws Error where the answer may not be given */
export type ModelClient = (command: ModelCommand) => Promise<ModelOutcome>;

export const WORKSPACES = ['notes', 'shared'] as const;
const EVERY_OPERATION = SECRET_OPERATIONS.flatMap((operation) =>
  WORKSPACES.map((workspace) => grantKey(operation, workspace)),
);

/** How many turns of the event loop a client waits that hangs up. */
const TURNS_BEFORE_HANGING_UP = 3;

/** Sends commands over HTTP. */
export function httpClient(service: Service, agent: Agent, clock: Clock): ModelClient {
  const tags = service.app.get(EntityTags);
  const headers = new Map<string, Promise<Record<string, string>>>();
  const headersOf = ({ app, scope: { user } }: ModelCommand): Promise<Record<string, string>> => {
    const key = JSON.stringify([app, user]);
    const made = headers.get(key) ?? credentialHeaders(app, user, clock.nowMs());
    headers.set(key, made);
    return made;
  };
  return async (command) => {
    const { operation, scope, name, value, ifValue } = command;
    const { signal, stop } = hangUp(command);
    const fields = operation === 'ListSecret' ? {} : writes(command) && operation !== 'DeleteSecret' ? { name, value } : { name }; // prettier-ignore
    // As a client has it that read the value before.
    const ifMatch = ifValue !== undefined && {
      'if-match': await tags.ofSecret(scope, { name, value: ifValue }),
    };
    const call = { headers: { ...(await headersOf(command)), ...ifMatch }, body: { ...fields, env: scope.environment }, agent, signal }; // prettier-ignore
    const url = `${service.url}/${operation}?workspace=${scope.workspace}`;
    const answer = await httpCall(url, call).catch((error: unknown) => {
      // The connection was closed, by either end.
      if (typeof error === 'object' && error !== null && 'code' in error) return undefined;
      throw error;
    });
    stop();
    if (answer === undefined) return { kind: 'gone' };
    const outcome = outcomeOf(answer, command);
    requireOwnValues(answer.text, command, outcome);
    return outcome;
  };
}

/** Calls the use-cases, as controllers do. @param auditFails whether the attempts of writes are refused now */
export function useCaseClient(service: Service, auditFails: () => boolean): ModelClient {
  const secrets = service.app.get(SecretsService);
  const audit = {
    reads: () => undefined,
    writes: async () => {
      if (auditFails()) throw new AuditUnavailable();
    },
    answeredStale: () => undefined,
  };
  return async (command) => {
    const { operation, app, scope, name, value } = command;
    const caller = { app, user: scope.user, operations: 'any' } as const;
    const { signal, stop } = hangUp(command);
    const context: CallContext = { deadline: { endsAtMs: Infinity }, signal, audit };
    const call = {
      CreateSecret: () => secrets.create(caller, scope, { name, value }, context),
      RetrieveSecret: () => secrets.retrieve(caller, scope, name, context),
      UpdateSecret: () => secrets.update(caller, scope, { name, value }, context, preconditionOf(command)),
      DeleteSecret: () => secrets.delete(caller, scope, name, context, preconditionOf(command)),
      ListSecret: () => secrets.list(caller, scope, context),
    }[operation];
    const outcome = await call().then(
      (done): ModelOutcome => {
        if (done === undefined) return { kind: 'done', secrets: {} };
        return { kind: 'done', secrets: byName('secret' in done ? [done.secret] : done.secrets) };
      },
      (error: unknown): ModelOutcome => {
        if (error instanceof ClientGone) return { kind: 'gone' };
        if (!(error instanceof DomainError)) throw error;
        requireOwnValues(`${error.message} ${JSON.stringify(error.details)}`, command, undefined);
        return { kind: 'refused', reason: error.reason };
      },
    );
    stop();
    requireOwnValues(JSON.stringify(outcome), command, outcome);
    return outcome;
  };
}

function preconditionOf({ ifValue }: ModelCommand): Precondition | undefined {
  if (ifValue === undefined) return undefined;
  return ({ name, value }) => {
    if (value !== ifValue) throw new PreconditionFailed(name);
  };
}

function hangUp({ hangsUp }: ModelCommand): { readonly signal: AbortSignal; readonly stop: () => void } {
  const abort = new AbortController();
  let isOver = !hangsUp;
  const wait = (turns: number): void => {
    if (isOver) return;
    if (turns === 0) abort.abort(new ClientGone());
    else setImmediate(() => wait(turns - 1));
  };
  wait(TURNS_BEFORE_HANGING_UP);
  return { signal: abort.signal, stop: () => (isOver = true) };
}

async function credentialHeaders(app: string, user: string, nowMs: number): Promise<Record<string, string>> {
  const options = { expiresAtMs: nowMs + 1_000 * 86_400_000 };
  return {
    'x-authorization': await userToken(user, nowMs, options),
    'x-access-token': await accessToken(app, user, EVERY_OPERATION, nowMs, options),
  };
}

function outcomeOf({ status, body }: Answer, { operation }: ModelCommand): ModelOutcome {
  if (status !== 200) {
    const reason = (Object.keys(STATUS_OF) as Reason[]).find((one) => one === body?.data?.reason);
    if (reason === undefined || STATUS_OF[reason] !== status || reason === 'INTERNAL')
      throw new Error(`an answer that no document states: ${status} ${JSON.stringify(body)}`);
    return { kind: 'refused', reason };
  }
  if (operation === 'ListSecret') return { kind: 'done', secrets: byName(body.data) };
  return { kind: 'done', secrets: operation === 'RetrieveSecret' ? byName([body.data]) : {} };
}

function byName(secrets: readonly Secret[]): Record<string, string> {
  return Object.fromEntries(secrets.map(({ name, value }) => [name, value]));
}

/** Each value says whose it is. */
export function valueOf(scope: ModelCommand['scope'], serial: number): string {
  return `«${Buffer.from(scopeKeyOf(scope)).toString('hex')}» ${serial}`;
}

/** @throws Error where an answer holds a value of another scope, or where a refusal holds any */
function requireOwnValues(text: string, command: ModelCommand, outcome: ModelOutcome | undefined): void {
  const own = valueOf(command.scope, 0).slice(0, -2);
  const foreign = [...text.matchAll(/«[^»]*»/g)].filter(([mark]) => outcome?.kind !== 'done' || mark !== own);
  if (foreign.length > 0) throw new Error(`${JSON.stringify(command)} was answered with a value of others`);
}
