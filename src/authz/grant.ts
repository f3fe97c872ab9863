import { LRUCache } from 'lru-cache';

/**
 * An app's or a user's name as we take it from a file. It becomes a part of log lines, keys and addresses,
 * so nothing that could end a word, a line or a path segment.
 */
export const APP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

export const APP_NAME_RULE =
  'must be 1-253 letters, digits, dots, dashes or underscores, and start with a letter or a digit';

/** A workspace's name; no `/`, so it cannot leave a path segment, and it never starts with a dot. */
export const WORKSPACE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export const WORKSPACE_RULE =
  'must be 1-63 letters, digits, dots, dashes or underscores, and start with a letter or a digit';

/** The five operations of the provider API, which are also the verbs of every layer below. */
export const SECRET_OPERATIONS = [
  'RetrieveSecret',
  'CreateSecret',
  'UpdateSecret',
  'DeleteSecret',
  'ListSecret',
] as const;
export type SecretOperation = (typeof SECRET_OPERATIONS)[number];

/** The provider tuple that a `sysData` entry must state exactly to concern us. */
export const PROVIDER = { dataType: 'secret', group: 'secret.infisical', version: 'v1' } as const;

/** One operation on one workspace. */
export interface Grant {
  readonly operation: SecretOperation;
  readonly workspace: string;
}

/** `<Op>?workspace=<name>`: the form in manifests, in tokens and in compiled sets. */
export function grantKey(operation: SecretOperation, workspace: string): string {
  return `${operation}?workspace=${workspace}`;
}

/** Apps of a catalogue state the same for each of their users, so that there are far fewer sets than installations. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

const remembered = new LRUCache<string, ReadonlySet<string>>({
  maxSize: MOST_CHARACTERS,
  sizeCalculation: (_set, text) => 1 + text.length,
});

/** The compiled grants of an app; the same set for all that state the same, which a hundred thousand installations do. */
export function grantSet(grants: readonly Grant[]): ReadonlySet<string> {
  const keys = grants.map(({ operation, workspace }) => grantKey(operation, workspace));
  // No key has a blank.
  const text = keys.join(' ');
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const set = new Set(keys);
  remembered.set(text, set);
  return set;
}

/** An app as it is installed for one user. (user, app) is unique, and so is appKey. */
export interface InstalledApp {
  readonly app: string;
  readonly user: string;
  /** `OS_APP_KEY` in the app's environment. */
  readonly appKey: string;
  /** `OS_APP_SECRET`; held to verify token requests, never written anywhere. */
  readonly appSecret: string;
  /** Compiled: grantKey() of every grant, so that a decision is one look-up however many are installed. */
  readonly grants: ReadonlySet<string>;
}
