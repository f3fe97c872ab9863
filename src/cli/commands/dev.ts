import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { errorCodeOf } from '../../errors/domain-error';
import type { EnvironmentVariables } from '../../config/environment-reader';
import { LIMIT_DEFINITIONS } from '../../config/setting-groups';
import type { Settings } from '../../config/settings';
import { EmbeddedStoreUnusable, UsageError, type UnusableReason } from '../../errors/operator-errors';
import { CommandFailure, printable } from '../console';

interface DevArguments {
  readonly manifest: string;
  readonly user: string;
  readonly port: string;
  readonly dataDir?: string;
  readonly fresh?: true;
}

const HOST = '127.0.0.1';

const DESCRIPTION = `Runs the gateway on this machine with your app and a user, on the embedded store.

It is the service itself: what the manifest does not state is refused, with the answers of a cluster. Key and secret of the app,
the user's token and the master key are made at the first start, and are the same at the next one.`;

const AFTER_HELP = `
The data directory is $XDG_STATE_HOME/olares-secrets/<app> (~/.local/state), one for each app, outside of the app's chart. Of the
service's settings only LOG_LEVEL, LOG_FORMAT, RESPONSE_STYLE, WORKSPACE_SHARING, USER_TOKEN_REQUIRED and those of limits and
quotas count.`;

export function addDevCommand(program: Command): void {
  program
    .command('dev')
    .summary('run the gateway on this machine with your app')
    .description(DESCRIPTION)
    .option('--manifest <file>', "the app's manifest", 'OlaresManifest.yaml')
    .option('--user <name>', 'the user for whom the app is installed', 'alice')
    .option('--port <number>', `port of ${HOST}; 0 takes a free one`, '8080')
    .option('--data-dir <folder>', 'folder of the store and the credentials')
    .option('--fresh', 'start with an empty store; the credentials stay')
    .addHelpText('after', AFTER_HELP)
    .action(dev);
}

async function dev(asked: DevArguments): Promise<void> {
  const { APP_NAME, APP_NAME_RULE } = await import('../../authz/grant.js');
  if (!APP_NAME.test(asked.user)) throw new UsageError(`--user ${APP_NAME_RULE}.`);
  if (!/^\d{1,5}$/.test(asked.port) || Number(asked.port) > 65_535)
    throw new UsageError('--port must be a number from 0 to 65535.');
  const manifest = resolve(asked.manifest);
  const app = await appNameIn(manifest, asked.manifest);
  try {
    await start(asked, manifest, app);
  } catch (error: unknown) {
    const failure = await failureOfStart(error, asked);
    // What was opened before the failure would keep the process alive. By then the failure is printed, and the exit code set.
    setImmediate(() => process.exit());
    throw failure;
  }
}

async function start(asked: DevArguments, manifest: string, name: string): Promise<void> {
  const development = await import('../../development/development-app.js');
  const { developmentBanner, tellManifestChanges } = await import('../../development/development-banner.js');
  const { withDevelopmentCredentials } = await import('../../development/development.js');
  const { loadSettings } = await import('../../config/settings.js');
  const { startService } = await import('../../bootstrap/start-service.js');
  const { GrantSource } = await import('../../authz/grant-source.js');
  const { user, fresh = false } = asked;
  const dataDir =
    asked.dataDir === undefined ? development.stateFolderOf(name, process.env) : resolve(asked.dataDir);
  print(`olares-secrets dev starts with app ${name} for user ${user}.\n\n`);
  requireOwnFolder(dataDir);
  const { env } = withDevelopmentCredentials({
    ...settingsThatCount(process.env),
    HOST,
    PORT: asked.port,
    DATA_DIR: dataDir,
    GRANTS_DIR: development.grantsFolderIn(dataDir),
    SETTINGS_ROUTES: 'user-token',
  });
  const settings = loadSettings(env);
  // First, since the app of another process that runs on this folder must stay as it is.
  await requireUnusedStore(settings.store, fresh);
  development.installLinkedApp(dataDir, { app: name, user, manifest });
  const service = await startService(settings, {
    onStopped: () => print(`\nThe gateway has stopped. Secrets and credentials stay in ${dataDir}.\n`),
  });
  const source = service.app.get(GrantSource);
  const appNow = () => [...source.installedApps()][0];
  const first = appNow();
  if (first === undefined)
    throw new CommandFailure(3, `${asked.manifest} has changed during the start; start again.`);
  const url = `http://${HOST}:${service.port}`;
  // Callers go on with the last grants while the app is not served.
  let latest = first;
  const caller = {
    url,
    userTokenSecret: settings.userToken.secret,
    app: () => (latest = appNow() ?? latest),
  };
  const renew = await development.keepCredentialFiles(dataDir, caller);
  print(developmentBanner(first, source, { url, manifest, dataDir, isFresh: fresh }));
  const renewed = (): Promise<void> =>
    renew().catch((error: unknown) => service.log.warn({ err: error }, 'start_banner_failed'));
  tellManifestChanges({ source, manifest, appNow }, (text) => print(`\n${text}\n\n`), renewed);
}

/** A folder that holds something else, and was never used here, gets no keys between its files. @throws EmbeddedStoreUnusable */
function requireOwnFolder(dataDir: string): void {
  if (!existsSync(dataDir) || existsSync(join(dataDir, 'development/master-key.key'))) return;
  const [strange] = readdirSync(dataDir);
  if (strange !== undefined)
    throw new EmbeddedStoreUnusable('FOREIGN', `${dataDir}: ${strange} is not of olares-secrets dev`);
}

/**
 * Opens and closes the store. @param fresh deletes what is stored, also where it cannot be opened, but nothing that is not a store of ours
 * @throws EmbeddedStoreUnusable
 */
async function requireUnusedStore(store: Settings['store'], fresh: boolean): Promise<void> {
  if (store.kind !== 'embedded') return;
  const { vaultFolderIn } = await import('../../stores/embedded/vault/vault-database.js');
  const { EmbeddedSecretStore } = await import('../../stores/embedded/embedded.secret-store.js');
  const folder = vaultFolderIn(store.dataDir);
  if (!existsSync(folder)) return;
  try {
    await (await EmbeddedSecretStore.open(store)).close();
  } catch (error: unknown) {
    if (!(error instanceof EmbeddedStoreUnusable) || !FRESH_REPLACES.has(error.reason)) throw error;
    // A folder of somebody else in which a file has such a name looks like a damaged store.
    const strange = readdirSync(folder).find((name) => !FILE_OF_STORE.test(name));
    if (strange !== undefined)
      throw new EmbeddedStoreUnusable('FOREIGN', `${folder}: ${strange} is no file of a store`);
    if (!fresh) throw error;
  }
  if (fresh) rmSync(folder, { recursive: true });
}

/** Of a store of ours that cannot be opened. All else, such as a folder that holds something else, is left as it is. */
const FRESH_REPLACES: ReadonlySet<UnusableReason> = new Set([
  'WRONG_MASTER_KEY',
  'DAMAGED',
  'UNSUPPORTED_VERSION',
]);

/** LevelDB's files, and what the store puts beside them. */
const FILE_OF_STORE =
  /^(CURRENT|LOCK|LOG(\.old)?|MANIFEST-\d+|\d+\.(log|ldb|sst|dbtmp)|(MANIFEST-\d+|\d+\.log)\.torn(-\d+)?)$/;

/** A shell that has the settings of a real installation must not lead to its Infisical or Redis. */
function settingsThatCount(env: EnvironmentVariables): EnvironmentVariables {
  const own = ['LOG_LEVEL', 'LOG_FORMAT', 'RESPONSE_STYLE', 'WORKSPACE_SHARING', 'USER_TOKEN_REQUIRED'];
  const names = [...own, ...Object.keys(LIMIT_DEFINITIONS)];
  return Object.fromEntries(names.map((name) => [name, env[name]]));
}

/** Reads the manifest as the service does. @throws CommandFailure with a sentence */
async function appNameIn(path: string, asked: string): Promise<string> {
  const { MANIFEST, readWatchedFile } = await import('../../grant-sources/directory/app-folder.js');
  const { good, problem, missing } = await readWatchedFile(path, MANIFEST, undefined);
  if (good !== undefined) return good.app;
  if (missing)
    throw new CommandFailure(3, `${asked} is not there; --manifest names the app's OlaresManifest.yaml.`);
  const place = problem?.line === undefined ? asked : `${asked}:${problem.line}`;
  throw new CommandFailure(3, `${place}: ${problem?.reason ?? 'cannot be read'}. Nothing was started.`);
}

async function failureOfStart(error: unknown, { port }: DevArguments): Promise<unknown> {
  const { InvalidSettings } = await import('../../config/settings.js');
  const code = errorCodeOf(error);
  const failure = (sentence: string): CommandFailure => new CommandFailure(3, sentence);
  if (code === 'EADDRINUSE')
    return failure(`Port ${port} is taken: stop what listens there, or choose another one with --port.`);
  if (code === 'EACCES' && error instanceof Error && !('path' in error))
    return failure(`Port ${port} may not be used by this user: choose one from 1024 on with --port.`);
  if (error instanceof EmbeddedStoreUnusable && error.reason === 'IN_USE')
    return failure(`${error.message} Stop the other one, or choose another folder with --data-dir.`);
  if (error instanceof EmbeddedStoreUnusable && FRESH_REPLACES.has(error.reason))
    return failure(`${error.message} --fresh deletes it and makes a new one.`);
  if (error instanceof EmbeddedStoreUnusable)
    return failure(`${error.message} Choose another folder with --data-dir.`);
  return error instanceof InvalidSettings ? new UsageError(error.message) : error;
}

/** Notes go to standard error: standard output is the log, of JSON lines where it is not a terminal. */
function print(text: string): void {
  process.stderr.write(text.split('\n').map(printable).join('\n'));
}
