import { parseArgs, type ParseArgsConfig } from 'node:util';

/** An option, an argument or a setting of a command that cannot be meant so. The exit code is 2. */
export class UsageError extends Error {}

/** Parses arguments of a command. Does not repeat an unknown one: it may be a secret in the wrong position. @throws UsageError */
export function strictArguments<const Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch {
    const known = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(`An argument is unknown or lacks its value; there are ${known.join(', ')}.`);
  }
}

/** The reasons why an embedded store cannot be opened, each with its sentence. */
const SENTENCES = {
  WEAK_MASTER_KEY: 'The master key is shorter than 32 bytes',
  WRONG_MASTER_KEY: 'The embedded store is encrypted under another master key',
  FOREIGN: 'The folder of the embedded store holds something else',
  DAMAGED: 'The embedded store is damaged; restore a backup',
  UNSUPPORTED_VERSION: 'The embedded store has a format version that this release does not read',
  UNWRITABLE: 'The folder of the embedded store cannot be written',
  IN_USE: 'The embedded store is in use by another process',
  ABSENT: 'There is no embedded store in this folder',
} as const satisfies Record<string, string>;

export type UnusableReason = keyof typeof SENTENCES;

/**
 * The embedded store cannot be opened, and the start stops. `message` is one sentence that is safe to print:
 * it names files and system error codes, never key material, and no foreign error is its `cause`.
 */
export class EmbeddedStoreUnusable extends Error {
  constructor(
    readonly reason: UnusableReason,
    /** The path and what was found there, such as a system error code. */
    detail: string,
  ) {
    super(`${SENTENCES[reason]} (${detail}).`);
    this.name = new.target.name;
  }
}

/**
 * Returns the code of an error of the system or of the database, e.g. ENOTDIR; nothing else of a foreign error is used.
 * Where abstract-level only says that a database did not open, returns the code of its cause.
 */
export function systemCode(error: unknown): string {
  const code = foreignField(foreignField(error, 'cause') ?? error, 'code');
  return typeof code === 'string' ? code : 'no code';
}

/** Returns a field of an error. Not `instanceof Error`: errors of native code belong to the realm that loaded it. */
export function foreignField(error: unknown, name: 'code' | 'cause' | 'message'): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
}
