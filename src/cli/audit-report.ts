import { SECRET_OPERATIONS } from '../authz/grant';
import { plain, type SeenRecord } from './audit-records';

const DAY_MS = 86_400_000;
const OPERATIONS: ReadonlySet<string> = new Set(SECRET_OPERATIONS);

interface GrantUse {
  readonly user: string;
  readonly app: string;
  readonly grant: string;
  /** RFC 3339; absent where the trail has no use of it. */
  readonly lastUsed?: string;
}

interface Refusals {
  readonly reason: string;
  readonly outcome: string;
  readonly count: number;
  readonly last: string;
}

/** The first time that an app read a secret; the name `*` stands for all of a list. */
interface FirstRead {
  readonly time: string;
  readonly app: string;
  readonly user: string;
  readonly workspace: string;
  readonly environment: string;
  readonly name: string;
}

/** What a trail says of who used what. Its memory is bounded, however many records there are. */
export class AuditReport {
  #records = 0;
  #from: string | undefined;
  #to: string | undefined;
  readonly #outcomes = new Map<string, number>();
  readonly #refusals = new Map<string, Refusals>();
  readonly #grants = new Map<string, GrantUse>();
  readonly #shared = new Map<
    string,
    { readonly user: string; readonly workspace: string; readonly apps: Set<string> }
  >();
  readonly #reads = new Map<string, FirstRead>();
  readonly #incomplete = new Set<string>();

  /**
   * @param unusedForDays a grant whose last use is further than that before the last record is called unused
   * @param maxRows of each table; what is beyond it is left out, and the report says so
   */
  constructor(
    private readonly unusedForDays: number,
    private readonly maxRows = 100_000,
  ) {}

  /** Adds a grant that is held, whether the trail has it or not. */
  holds(user: string, app: string, grant: string): void {
    this.#seen({ user, app, grant });
  }

  add(record: SeenRecord): void {
    this.#records += 1;
    const { time, event, operation, outcome, user, app, workspace } = record;
    if (this.#from === undefined || time < this.#from) this.#from = time;
    if (this.#to === undefined || time > this.#to) this.#to = time;
    if (event === 'suppressed') this.#suppressed(record);
    if (event !== 'outcome' || outcome === undefined) return;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    if (outcome !== 'allowed') this.#refused(record.reason ?? 'unknown', outcome, time, 1);
    if (outcome !== 'allowed' || user === undefined || app === undefined) return;
    if (operation === 'RevokeGrant' && workspace !== undefined) this.#revoked(user, app, workspace);
    const isUse = OPERATIONS.has(operation);
    for (const grant of [...(record.grants ?? []), ...(record.approved ?? [])])
      this.#seen({ user, app, grant, ...(isUse && { lastUsed: time }) });
    if (isUse && workspace !== undefined) this.#used(record, user, app, workspace);
  }

  /** Returns what was added; the first reads begin with the latest. `incomplete` are tables that would have been too large. */
  summary() {
    const sinceMs = Date.parse(this.#to ?? '') - this.unusedForDays * DAY_MS;
    const isUnused = ({ lastUsed }: GrantUse): boolean =>
      lastUsed === undefined || Date.parse(lastUsed) < sinceMs;
    return {
      records: this.#records,
      ...(this.#from !== undefined && { from: this.#from }),
      ...(this.#to !== undefined && { to: this.#to }),
      outcomes: Object.fromEntries([...this.#outcomes].sort()),
      refusals: [...this.#refusals.values()].sort((a, b) => b.count - a.count),
      unusedForDays: this.unusedForDays,
      unusedGrants: [...this.#grants.values()]
        .filter(isUnused)
        .sort(byText(({ user, app, grant }) => [user, app, grant])),
      sharedWorkspaces: [...this.#shared.values()]
        .filter(({ apps }) => apps.size > 1)
        .map(({ user, workspace, apps }) => ({ user, workspace, apps: [...apps].sort() }))
        .sort(byText(({ user, workspace }) => [user, workspace])),
      firstReads: [...this.#reads.values()].sort((a, b) => (a.time < b.time ? 1 : -1)),
      incomplete: [...this.#incomplete],
    };
  }

  #suppressed({ refusals = {}, time }: SeenRecord): void {
    for (const [key, count] of Object.entries(refusals)) {
      const [, outcome = 'denied', reason = 'unknown'] = key.split(' ');
      this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + count);
      this.#refused(reason, outcome, time, count);
    }
  }

  #refused(reason: string, outcome: string, last: string, more: number): void {
    const count = (this.#refusals.get(reason)?.count ?? 0) + more;
    this.#put(this.#refusals, 'refusals', reason, { reason, outcome, count, last });
  }

  #seen(use: GrantUse): void {
    const key = JSON.stringify([use.user, use.app, use.grant]);
    const before = this.#grants.get(key);
    if (before === undefined || use.lastUsed !== undefined) this.#put(this.#grants, 'grants', key, use);
  }

  #revoked(user: string, app: string, workspace: string): void {
    for (const operation of SECRET_OPERATIONS)
      this.#grants.delete(JSON.stringify([user, app, `${operation}?workspace=${workspace}`]));
  }

  #used(
    { operation, time, environment = '', name = '*' }: SeenRecord,
    user: string,
    app: string,
    workspace: string,
  ): void {
    const place = JSON.stringify([user, workspace]);
    const { apps } = this.#shared.get(place) ?? { apps: new Set<string>() };
    if (apps.size < this.maxRows) apps.add(app);
    this.#put(this.#shared, 'workspaces', place, { user, workspace, apps });
    if (operation !== 'RetrieveSecret' && operation !== 'ListSecret') return;
    const read = { time, app, user, workspace, environment, name: operation === 'ListSecret' ? '*' : name };
    const key = JSON.stringify([app, user, workspace, environment, read.name]);
    const first = this.#reads.get(key);
    if (first === undefined || time < first.time) this.#put(this.#reads, 'readers', key, read);
  }

  #put<Value>(table: Map<string, Value>, name: string, key: string, value: Value): void {
    if (table.size >= this.maxRows && !table.has(key)) this.#incomplete.add(name);
    else table.set(key, value);
  }
}

function byText<Row>(of: (row: Row) => readonly string[]): (a: Row, b: Row) => number {
  return (a, b) => (of(a).join('\0') < of(b).join('\0') ? -1 : 1);
}

/** Returns the report for people; of each table so many rows at most. */
export function* reportLines(summary: ReturnType<AuditReport['summary']>, rows: number): Generator<string> {
  const { records, from, to, outcomes, unusedForDays } = summary;
  yield `${records} records, ${plain(from)} to ${plain(to)}.`;
  yield `Outcomes: ${
    Object.entries(outcomes)
      .map(([outcome, count]) => `${plain(outcome)} ${count}`)
      .join(', ') || 'none'
  }.`;
  const tables: readonly (readonly [string, readonly (readonly unknown[])[]])[] = [
    ['Refusals and failures by reason (count, reason, last)', summary.refusals.map(({ count, reason, last }) => [count, reason, last])],
    [`Grants that were not used within ${unusedForDays} days (user, app, grant, last use)`, summary.unusedGrants.map(({ user, app, grant, lastUsed = 'never' }) => [user, app, grant, lastUsed])],
    ['Workspaces that several apps use (user, workspace, apps)', summary.sharedWorkspaces.map(({ user, workspace, apps }) => [user, workspace, apps.join(',')])],
    ['First reads of a secret, the latest first (time, app, user, secret)', summary.firstReads.map(({ time, app, user, workspace, environment, name }) => [time, app, user, `${workspace}/${environment}/${name}`])],
  ]; // prettier-ignore
  for (const [title, all] of tables) {
    yield '';
    yield `${title}: ${all.length}`;
    for (const row of all.slice(0, rows)) yield `  ${row.map((cell) => plain(String(cell))).join('  ')}`;
    if (all.length > rows) yield `  … and ${all.length - rows} more; --rows or --json shows them`;
  }
  for (const table of summary.incomplete) yield `The table of ${table} would be too large, and is not whole.`;
}
