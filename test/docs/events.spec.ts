import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ts from 'typescript';

const SRC = join(__dirname, '../../src');
const PAGE = join(__dirname, '../../docs/telemetry.md');

/** Events whose names are put together where they are logged, by the text of that expression. */
const INSTANCES: Readonly<Record<string, readonly string[]>> = {
  '`${kind}_reloaded`': ['credential_reloaded', 'tls_reloaded'],
  '`${kind}_reload_failed`': ['credential_reload_failed', 'tls_reload_failed'],
  '`user_removal_${result}`': ['user_removal_stopped', 'user_removal_overtaken'],
  '`store_breaker_${state}`': ['store_breaker_half_open', 'store_breaker_closed'],
  event: ['redis_invalidation_malformed', 'redis_invalidation_unreadable'],
};
const LEVELS = new Set(['debug', 'info', 'warn', 'error']);
const LOGGERS = /(^|[.#])(log|nestLog)$/;

interface Logged {
  readonly event: string;
  readonly levels: readonly string[];
  /** The names of the fields that the call writes out. */
  readonly fields: readonly string[];
}

/** The levels that an expression can have: `'warn'`, or both of `isBad ? 'warn' : 'info'`. Empty for anything else. */
function levelsOf(node: ts.Node): readonly string[] {
  if (ts.isStringLiteral(node)) return LEVELS.has(node.text) ? [node.text] : [];
  return ts.isConditionalExpression(node) ? [...levelsOf(node.whenTrue), ...levelsOf(node.whenFalse)] : [];
}

function eventsOf(node: ts.Node): readonly string[] {
  return ts.isStringLiteral(node)
    ? [node.text]
    : (INSTANCES[node.getText()] ?? [`unknown: ${node.getText()}`]);
}

function fieldsOf(node: ts.Node | undefined): readonly string[] {
  if (node === undefined || !ts.isObjectLiteralExpression(node)) return [];
  return node.properties.flatMap(({ name }) => (name === undefined ? [] : [name.getText()]));
}

/** What one call logs: `log('warn', 'event', fields)` of ours, or `log.warn(fields, 'event')` of pino. Empty for any other call. */
function loggedBy({ expression, arguments: args }: ts.CallExpression): readonly Logged[] {
  const [first, second, third] = args;
  if (first === undefined || second === undefined) return [];
  const callee = ts.isPropertyAccessExpression(expression) ? expression.expression : undefined;
  const method = ts.isPropertyAccessExpression(expression) ? expression.name.text : '';
  const named = (levels: readonly string[], event: ts.Node, fields?: ts.Node): readonly Logged[] =>
    eventsOf(event).map((one) => ({ event: one, levels, fields: fieldsOf(fields) }));
  if (LOGGERS.test(expression.getText()))
    return levelsOf(first).length > 0 ? named(levelsOf(first), second, third) : [];
  if (ts.isElementAccessExpression(expression) && LOGGERS.test(expression.expression.getText()))
    return named(levelsOf(expression.argumentExpression), second, first);
  if (callee === undefined || !LOGGERS.test(callee.getText())) return [];
  if (LEVELS.has(method) && ts.isStringLiteral(second)) return named([method], second, first);
  return method === 'call' && third !== undefined ? named(['any'], third) : [];
}

function loggedIn(file: string): readonly Logged[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Logged[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) found.push(...loggedBy(node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

describe('the table of log events in docs/telemetry.md', () => {
  const [, table = ''] = /<!-- events -->([\s\S]*)<!-- \/events -->/.exec(readFileSync(PAGE, 'utf8')) ?? [];
  const rows = [...table.matchAll(/^\| `(\w+)` \| ([a-z, ]+) \| (.*?) ?\| (.+) \|$/gm)].map(
    ([, event = '', levels = '', fields = '', meaning = '']) => ({
      event,
      levels: levels.split(', '),
      fields,
      meaning,
    }),
  );
  const logged = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => loggedIn(join(SRC, name)));
  const levelsByEvent = new Map<string, Set<string>>();
  for (const { event, levels } of logged)
    levelsByEvent.set(event, new Set([...(levelsByEvent.get(event) ?? []), ...levels]));

  it('has every event that the code logs with its levels, each once, and no other', () => {
    const told = (levels: Iterable<string>): string => [...levels].sort().join(', ');
    const fromCode = [...levelsByEvent].map(([event, levels]) => `${event}: ${told(levels)}`);
    expect(rows.map(({ event, levels }) => `${event}: ${told(levels)}`).sort()).toEqual(fromCode.sort());
    expect(logged.length).toBeGreaterThan(60);
  });

  it('names each field that the code writes out', () => {
    const missing = logged.flatMap(({ event, fields }) => {
      const row = rows.find((one) => one.event === event);
      return fields
        .filter((field) => !row?.fields.includes(`\`${field}\``))
        .map((field) => `${event}: ${field}`);
    });
    expect(missing).toEqual([]);
  });

  it('calls every event by words in snake_case and says in a sentence what it means', () => {
    for (const { event, meaning } of rows) {
      expect(event).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(meaning).toMatch(/^[`A-Z].*\.$/);
    }
  });
});
