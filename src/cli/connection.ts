import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
// Only types: the client is loaded when it is used.
import type { CallOptions, Environment, SecretVault } from '../client/index.js';
import { UsageError } from '../errors/operator-errors';
import { CommandFailure } from './console';

const ENVIRONMENTS: readonly Environment[] = ['test', 'dev', 'staging', 'prod'];

/** What the options of the connection hold; environment variables stand in for those that are not given. */
export interface VaultConnection {
  readonly url?: string;
  readonly workspace?: string;
  readonly env: Environment;
}

/** The credentials' variables, which are options of no command: other processes see the arguments of a process. */
const APP_KEY = 'OLARES_SECRETS_APP_KEY';
const APP_SECRET = 'OLARES_SECRETS_APP_SECRET';
const TOKEN_FILE = 'OLARES_SECRETS_TOKEN_FILE';
const USER_TOKEN = 'OLARES_SECRETS_USER_TOKEN';

/** Every variable of ours begins so; none is handed on to a program that we start. */
const OWN_VARIABLE = /^OLARES_SECRETS_/;

/** Adds the options of the connection to a command. */
export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'address of the service').env('OLARES_SECRETS_URL'))
    .addOption(new Option('--workspace <name>', 'workspace').env('OLARES_SECRETS_WORKSPACE'))
    .addOption(environmentOption('--env <name>', 'environment').env('OLARES_SECRETS_ENV').default('prod'));
}

/** Returns an option that takes the name of an environment. */
export function environmentOption(flags: string, description: string): Option {
  return new Option(flags, description).choices(ENVIRONMENTS);
}

/**
 * Returns the secrets of the workspace that the options and the environment variables name. Nothing is asked of the service yet.
 * @throws UsageError, which names all that is missing
 */
export async function openVault({ url, workspace, env: environment }: VaultConnection): Promise<SecretVault> {
  const { env } = process;
  const missing = [
    ...(isSet(url) ? [] : ['--url or OLARES_SECRETS_URL']),
    ...(isSet(workspace) ? [] : ['--workspace or OLARES_SECRETS_WORKSPACE']),
    ...(isSet(env[TOKEN_FILE]) ||
    (isSet(env[APP_KEY]) && (isSet(env[APP_SECRET]) || isSet(env[`${APP_SECRET}_FILE`])))
      ? []
      : [`the app's credentials (${APP_KEY} with ${APP_SECRET} or ${APP_SECRET}_FILE; or ${TOKEN_FILE})`]),
  ];
  if (!isSet(url) || !isSet(workspace) || missing.length > 0)
    throw new UsageError(`This is not given: ${missing.join(', ')}.`);
  if (isSet(env[TOKEN_FILE]) && isSet(env[APP_KEY]))
    throw new UsageError(`Either ${TOKEN_FILE} or ${APP_KEY} may be given, not both.`);
  const options = { url: addressIn(url), workspace, environment };
  const credentials = isSet(env[TOKEN_FILE])
    ? { serviceAccountTokenFile: env[TOKEN_FILE] }
    : { appKey: env[APP_KEY] ?? '', appSecret: secretIn(env, APP_SECRET)?.() ?? '' };
  const userToken = secretIn(env, USER_TOKEN);
  const { SecretVault } = await import('../client/index.js');
  return new SecretVault({ ...options, ...credentials, ...(userToken !== undefined && { userToken }) });
}

/** Returns what reads the secret of a variable, or of the file that the variable `…_FILE` names: each time anew, for it may be renewed. */
function secretIn(env: NodeJS.ProcessEnv, name: string): (() => string) | undefined {
  const [given, file] = [env[name], env[`${name}_FILE`]];
  if (isSet(given) && isSet(file))
    throw new UsageError(`Either ${name} or ${name}_FILE may be given, not both.`);
  if (isSet(file)) return () => oneLine(`the file of ${name}_FILE`, readFileSync(file, 'utf8').trim());
  return isSet(given) ? () => oneLine(name, given) : undefined;
}

/** It becomes a header, or a part of one. */
function oneLine(name: string, secret: string): string {
  if (/^[\x20-\x7e]+$/.test(secret)) return secret;
  throw new UsageError(`What ${name} holds is empty, or not one line of ASCII.`);
}

function addressIn(url: string): string {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address === undefined || !/^https?:$/.test(address.protocol))
    throw new UsageError('The address of the service must begin with http:// or https://.');
  // An empty query is none for URL.
  if (address.username !== '' || address.password !== '' || /[?#\s]/.test(url))
    throw new UsageError(
      'The address of the service must have no credentials, query, fragment or white space.',
    );
  return url;
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

/** Returns all values by name. @throws CommandFailure where the store cannot show some: whoever needs all does not have them */
export async function allSecrets(
  vault: SecretVault,
  call: CallOptions = {},
): Promise<ReadonlyMap<string, string>> {
  let unreadable: readonly string[] = [];
  const secrets = await vault.list({ ...call, onUnreadable: (names) => (unreadable = names) });
  if (unreadable.length > 0)
    throw new CommandFailure(3, `The store cannot show the values of ${unreadable.join(', ')}.`);
  return new Map(secrets.map(({ name, value }) => [name, value]));
}

/** Returns the environment for a program that we start: without what we ourselves prove who we are with. */
export function environmentWithoutOurs(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !OWN_VARIABLE.test(name));
  return Object.fromEntries(kept.map(([name, value = '']) => [name, value]));
}
