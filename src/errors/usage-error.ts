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
