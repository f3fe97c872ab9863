import { parse } from 'yaml';
import type { EnvironmentReader } from './environment-reader';

const PERMISSION_PROVIDER =
  /^(?:([a-z0-9][-a-z0-9]{0,62}):)?([A-Za-z0-9][A-Za-z0-9._-]{0,62})\/([A-Za-z0-9][A-Za-z0-9._-]{0,62})$/;

/** Reads what differs between the releases of Olares. */
export function olaresSettings(read: EnvironmentReader) {
  const release = read.oneOf('OLARES_RELEASE', ['auto', 'up-to-1.12.0', 'since-1.12.1']);
  // Whether ApplicationPermissions count on a release that makes none any more.
  const leftovers = read.oneOf('LEFTOVER_PERMISSIONS', ['deny', 'grant']);
  const text = read.text('PERMISSION_PROVIDER');
  const [, namespace, appName, providerName] = PERMISSION_PROVIDER.exec(text ?? '') ?? [];
  const isNamed = appName !== undefined && providerName !== undefined;
  if (text !== undefined && !isNamed)
    read.problem(
      'PERMISSION_PROVIDER',
      'must be <appName>/<providerName> or <namespace>:<appName>/<providerName>',
    );
  return {
    release,
    leftovers,
    /** How apps name us under `permission.provider`. */
    ...(isNamed && { provider: { appName, providerName, ...(namespace !== undefined && { namespace }) } }),
  };
}

/** What one of the system's own callers may do, without a manifest. */
export interface StaticGrantSetting {
  /** In the namespace, `<user>` stands for the user. */
  readonly account: { readonly namespace: string; readonly name: string };
  /** Whose secrets: those of the user of its namespace, or of the one whom X-BFL-USER names. */
  readonly userFrom: 'namespace' | 'X-BFL-USER';
  readonly userTokenRequired: boolean;
  /** Whether the account's own token makes the user's unnecessary. */
  readonly ownTokenSuffices?: boolean;
  readonly workspaces: readonly string[];
  readonly operations: readonly (typeof OPERATIONS)[number][];
  /** RESPONSE_STYLE for this caller; undefined: that of all. */
  readonly responseStyle?: 'documented' | 'sidecar';
}

const OPERATIONS = ['RetrieveSecret', 'CreateSecret', 'UpdateSecret', 'DeleteSecret', 'ListSecret'] as const;
const TOKEN_RULES = ['required', 'optional', 'unless-own-token'] as const;
const FIELDS = ['serviceAccount', 'userFrom', 'userToken', 'workspaces', 'operations', 'responseStyle'];

/** `<user>` may stand once, at the end of the namespace: Olares' own are `user-space-<user>` and `user-system-<user>`. */
const ACCOUNT =
  /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|[a-z0-9][-a-z0-9]{0,61}-<user>):([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)$/;
const WORKSPACE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const MAX_LENGTH = 65_536;
const MAX_ENTRIES = 100;
const MAX_WORKSPACES = 100;

/** Reads STATIC_GRANTS as a whole; every problem is reported, by the place and the rule, never with what is written there. */
export function staticGrants(read: EnvironmentReader): readonly StaticGrantSetting[] {
  const text = read.text('STATIC_GRANTS');
  if (text === undefined) return [];
  const list = parsed(text);
  if (list === undefined || list.length > MAX_ENTRIES) {
    read.problem(
      'STATIC_GRANTS',
      `must be a YAML or JSON list of at most ${MAX_ENTRIES} entries, without aliases`,
    );
    return [];
  }
  const accounts = list.map((entry) => own(entry, 'serviceAccount'));
  return list.flatMap((entry, at) => {
    const problem: Problem = (field, rule) => read.problem(`STATIC_GRANTS[${at}]${field}`, rule);
    if (accounts.indexOf(accounts[at]) !== at)
      problem('.serviceAccount', 'must not be that of an earlier entry');
    const before = read.problems.length;
    const grant = staticGrant(entry, problem);
    return grant === undefined || read.problems.length > before ? [] : [grant];
  });
}

type Problem = (field: string, rule: string) => void;

/** Returns undefined where a field breaks its rule so that nothing can be made of the entry; each such field is a problem. */
function staticGrant(entry: unknown, problem: Problem): StaticGrantSetting | undefined {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    problem('', `must have the fields ${FIELDS.join(', ')}`);
    return undefined;
  }
  if (Object.keys(entry).some((field) => !FIELDS.includes(field)))
    problem('', `must have no other fields than ${FIELDS.join(', ')}`);
  const account = accountIn(own(entry, 'serviceAccount'));
  if (account === undefined)
    problem('.serviceAccount', 'must be namespace:name, where the namespace may end with -<user>');
  const userFrom = oneOf(own(entry, 'userFrom') ?? 'namespace', ['namespace', 'X-BFL-USER'] as const);
  if (userFrom === undefined) problem('.userFrom', 'must be namespace or X-BFL-USER');
  const isOfUser = account?.namespace.endsWith('<user>');
  if (isOfUser === false && userFrom === 'namespace')
    problem('.userFrom', 'must be X-BFL-USER where the namespace does not end with <user>');
  if (isOfUser === true && userFrom === 'X-BFL-USER')
    problem('.userFrom', 'must be namespace where the namespace ends with <user>');
  const userToken = oneOf(own(entry, 'userToken') ?? 'required', TOKEN_RULES);
  if (userToken === undefined) problem('.userToken', 'must be required, optional or unless-own-token');
  const style = own(entry, 'responseStyle');
  const responseStyle = oneOf(style, ['documented', 'sidecar'] as const);
  if (style !== undefined && responseStyle === undefined)
    problem('.responseStyle', 'must be documented or sidecar');
  const workspaces = listOf(own(entry, 'workspaces'), (name) => (WORKSPACE.test(name) ? name : undefined));
  if (workspaces === undefined)
    problem(
      '.workspaces',
      `must be 1-${MAX_WORKSPACES} names of 1-63 letters, digits, dots, dashes or underscores`,
    );
  const operations = listOf(own(entry, 'operations'), (name) => oneOf(name, OPERATIONS));
  if (operations === undefined) problem('.operations', `must be some of ${OPERATIONS.join(', ')}`);
  if (!account || !userFrom || !workspaces || !operations) return undefined;
  return {
    account,
    userFrom,
    userTokenRequired: userToken !== 'optional',
    ...(userToken === 'unless-own-token' && { ownTokenSuffices: true }),
    workspaces,
    operations,
    ...(responseStyle !== undefined && { responseStyle }),
  };
}

function parsed(text: string): readonly unknown[] | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  try {
    const value: unknown = parse(text, { maxAliasCount: 0 });
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function accountIn(value: unknown): StaticGrantSetting['account'] | undefined {
  const [namespace, name] = typeof value === 'string' && ACCOUNT.test(value) ? value.split(':') : [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

function oneOf<T>(value: unknown, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === value);
}

/** Returns undefined where it is no list, is empty or too long, or has an item that is not good. */
function listOf<T>(value: unknown, read: (item: string) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_WORKSPACES) return undefined;
  const items = (value as readonly unknown[]).map((item) =>
    typeof item === 'string' ? read(item) : undefined,
  );
  const good = items.filter((item) => item !== undefined);
  return good.length === items.length ? good : undefined;
}

function own(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) return undefined;
  return (value as Record<string, unknown>)[field];
}
