import { grantKey, SECRET_OPERATIONS } from '../../src/authz/grant';
import { scopeKeyOf, type SecretScope } from '../../src/secrets/secret';
import fc from '../support/fast-check';
import { valueOf, WORKSPACES } from './model-clients';
import type { ConcurrentCommands, Grants, ModelledService } from './modelled-service';
import type { SecretsModel } from './secrets-model';

const APPS = ['notes', 'reader', 'todo'] as const;
const EVERY_GRANT = SECRET_OPERATIONS.flatMap((operation) => WORKSPACES.map((workspace) => grantKey(operation, workspace))); // prettier-ignore

/** The names of two users; each run has two of its own, so that runs share a service and no secrets. */
export type UsersOfRun = readonly [string, string];

const places = fc.record({
  user: fc.constantFrom(0, 1),
  workspace: fc.constantFrom(...WORKSPACES),
  environment: fc.constantFrom('prod', 'dev'),
});

/** The first app nearly always holds everything, so that most commands do something. */
const grants = fc.array(
  fc.record({
    app: fc.constantFrom(...APPS),
    user: fc.constantFrom(0, 1),
    ops: fc.oneof(
      { arbitrary: fc.constant(EVERY_GRANT), weight: 2 },
      { arbitrary: fc.subarray(EVERY_GRANT), weight: 2 },
    ),
  }),
  { maxLength: 4 },
);

const commands = fc.array(
  fc.record({
    operation: fc.constantFrom(...SECRET_OPERATIONS, 'CreateSecret' as const),
    app: fc.oneof({ arbitrary: fc.constant('notes'), weight: 3 }, fc.constantFrom(...APPS)),
    place: fc.constantFrom(0, 0, 0, 1),
    name: fc.constantFrom('a', 'a', 'b', 'c', 'd'),
    ifMatch: fc.constantFrom(undefined, undefined, undefined, 1, 1, 2),
    hangsUp: fc.integer({ min: 0, max: 19 }).map((drawn) => drawn === 19),
  }),
  { minLength: 1, maxLength: 6 },
);

const seldom = <T>(arbitrary: fc.Arbitrary<T>, weight: number): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary, weight }, { arbitrary: fc.constant(undefined), weight: 10 - weight });

const drawn = fc.record({
  places: fc.tuple(places, places),
  commands,
  storeFault: fc.oneof(
    { arbitrary: fc.constant(undefined), weight: 6 },
    { arbitrary: fc.constant('heal' as const), weight: 3 },
    { arbitrary: fc.nat(27), weight: 1 },
  ),
  auditFails: seldom(fc.constant(true), 1).map((fails) => fails === true),
  grants: seldom(grants, 1),
  restarts: seldom(fc.constant(true), 1).map((restarts) => restarts === true),
  passMs: fc.constantFrom(0, 0, 0, 100, 1_500, 3_000, 70_000),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer D> ? D : never;

/** Commands for one run, with the number of those that were sent. */
export interface ModelRun {
  readonly service: ModelledService;
  readonly users: UsersOfRun;
  readonly scheduler: fc.Scheduler;
  /** Makes each value another. */
  sent: number;
  /** The values that were sent for each secret, the latest last. */
  readonly values: Map<string, string[]>;
}

class ConcurrentCommandsOfRun implements fc.AsyncCommand<SecretsModel, ModelRun> {
  constructor(private readonly drawn: Drawn) {}

  check(): boolean {
    return true;
  }

  async run(model: SecretsModel, run: ModelRun): Promise<void> {
    await run.scheduler.waitFor(run.service.run(this.#of(run), model));
  }

  toString(): string {
    return JSON.stringify(this.drawn);
  }

  #of(run: ModelRun): ConcurrentCommands {
    const { places: of, commands: all, storeFault, auditFails, restarts, passMs } = this.drawn;
    const scopes = of.map(({ user, ...place }): SecretScope => ({ ...place, user: run.users[user === 0 ? 0 : 1] })); // prettier-ignore
    return {
      commands: all.flatMap(({ place, ifMatch, ...command }) => {
        const scope = scopes[place];
        if (scope === undefined) return [];
        const value = valueOf(scope, (run.sent += 1));
        const ifValue = valueBefore(run, scope, command, ifMatch);
        if (command.operation === 'CreateSecret' || command.operation === 'UpdateSecret')
          valuesOf(run, scope, command).push(value);
        return [{ ...command, scope, value, ...(ifValue !== undefined && { ifValue }) }];
      }),
      ...(storeFault !== undefined && { storeFault }),
      ...(this.drawn.grants !== undefined && { grants: grantsOf(this.drawn.grants, run.users) }),
      auditFails,
      restarts,
      passMs,
    };
  }
}

/** Returns the value that was sent so many commands ago, where the command may have a condition and there is one. */
function valueBefore(
  run: ModelRun,
  scope: SecretScope,
  { operation, name }: { readonly operation: string; readonly name: string },
  ago: number | undefined,
): string | undefined {
  const isConditional = ago !== undefined && (operation === 'UpdateSecret' || operation === 'DeleteSecret');
  return isConditional ? valuesOf(run, scope, { name }).at(-ago) : undefined;
}

function valuesOf({ values }: ModelRun, scope: SecretScope, { name }: { readonly name: string }): string[] {
  const key = `${scopeKeyOf(scope)} ${name}`;
  const known = values.get(key) ?? [];
  values.set(key, known);
  return known;
}

/** Each app is stated once for a user: the last statement counts. */
function grantsOf(
  stated: readonly { readonly app: string; readonly user: number; readonly ops: readonly string[] }[],
  users: UsersOfRun,
): Grants {
  const byApp = new Map(firstGrants(users).map((one) => [`${one.app} ${one.user}`, one]));
  for (const { app, user, ops } of stated) {
    const of = { app, user: users[user === 0 ? 0 : 1], ops };
    byApp.set(`${of.app} ${of.user}`, of);
  }
  return [...byApp.values()];
}

/** `notes` holds everything, `reader` may retrieve, and `todo` is not installed. */
export function firstGrants(users: UsersOfRun): Grants {
  return users.flatMap((user) => [
    { app: 'notes', user, ops: EVERY_GRANT },
    { app: 'reader', user, ops: WORKSPACES.map((workspace) => grantKey('RetrieveSecret', workspace)) },
  ]);
}

/** Sequences of concurrent commands. */
export const runs = fc.commands([drawn.map((one) => new ConcurrentCommandsOfRun(one))], { maxCommands: 40, size: 'max' }); // prettier-ignore
