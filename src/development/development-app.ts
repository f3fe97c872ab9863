import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, watchFile } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { EnvironmentVariables } from '../config/environment-reader';
import type { InstalledApp } from '../authz/grant';
import { appCredentials } from './development';
import {
  exampleHeaders,
  headerLines,
  HEADERS_RENEWED_EVERY_MS,
  operationsByWorkspace,
  signUserToken,
  writePrivately,
} from './example-caller';

/**
 * Returns the folder of an app's store and credentials: `$XDG_STATE_HOME/olares-secrets/<app>`. It is not in the working directory,
 * since that is the app's chart, from which keys would get into its package or into a repository.
 */
export function stateFolderOf(app: string, env: EnvironmentVariables): string {
  const home = env['XDG_STATE_HOME'] ?? '';
  return join(isAbsolute(home) ? home : join(homedir(), '.local/state'), 'olares-secrets', app);
}

/** How often the file's times are compared: that notices editors that replace the file too. */
const MANIFEST_POLLED_EVERY_MS = 250;

/**
 * Installs an app in a folder of manifests for the directory source, by a link to the developer's manifest. Its key and secret are
 * made once. Replaces the link when the manifest changes, since the source does not see what happens behind a link.
 */
export function installLinkedApp(
  dataDir: string,
  { app, user, manifest }: { readonly app: string; readonly user: string; readonly manifest: string },
): void {
  const folder = join(grantsFolderIn(dataDir), 'app');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const credentials = join(folder, 'app.yaml');
  const text = existsSync(credentials) ? readFileSync(credentials, 'utf8') : appCredentials(app, user);
  writePrivately(credentials, text.replace(/^user: .*$/m, `user: '${user}'`));
  const link = (): void => {
    const next = join(folder, '.next');
    rmSync(next, { force: true });
    symlinkSync(manifest, next);
    renameSync(next, join(folder, 'OlaresManifest.yaml'));
  };
  link();
  watchFile(manifest, { interval: MANIFEST_POLLED_EVERY_MS, persistent: false }, link);
}

/** A working day and the evening; the file has a new token each hour. */
const USER_TOKEN_LIFETIME_S = 24 * 3600;
const ENV_RENEWED_EVERY_MS = 3_600_000;

/**
 * Keeps two files for callers, with mode 0600: `env`, to be sourced by a shell, and `headers`, for `curl -H @file`. Both are written
 * before this resolves and renewed while the process runs.
 * @param caller `app` returns the app with the grants that it has now
 * @returns what writes both again, for grants that changed
 */
export async function keepCredentialFiles(
  dataDir: string,
  caller: { readonly url: string; readonly userTokenSecret: Uint8Array; readonly app: () => InstalledApp },
): Promise<() => Promise<void>> {
  const { url, userTokenSecret } = caller;
  const writeEnv = async (): Promise<void> => {
    const app = caller.app();
    const variables = {
      URL: url,
      WORKSPACE: mainWorkspace(app),
      APP_KEY: app.appKey ?? '',
      APP_SECRET: app.appSecret ?? '',
      USER_TOKEN: await signUserToken(app.user, userTokenSecret, USER_TOKEN_LIFETIME_S),
    };
    const lines = Object.entries(variables).map(
      ([name, value]) => `export OLARES_SECRETS_${name}='${value}'\n`,
    );
    const comment = '# Made by olares-secrets dev, renewed every hour.\n';
    writePrivately(envFileIn(dataDir), comment + lines.join(''));
  };
  const writeHeaders = async (): Promise<void> => {
    const app = caller.app();
    // Nobody gets an access token for nothing.
    const headers =
      app.grants.size === 0
        ? { 'X-Authorization': await signUserToken(app.user, userTokenSecret) }
        : await exampleHeaders({ url, app, userTokenSecret });
    writePrivately(headersFileIn(dataDir), headerLines(headers));
  };
  const write = async (): Promise<void> => {
    await writeEnv();
    await writeHeaders();
  };
  await write();
  setInterval(() => void writeEnv().catch(() => undefined), ENV_RENEWED_EVERY_MS).unref();
  setInterval(() => void writeHeaders().catch(() => undefined), HEADERS_RENEWED_EVERY_MS).unref();
  return write;
}

/** The folder of manifests. */
export function grantsFolderIn(dataDir: string): string {
  return join(dataDir, 'apps');
}

export function envFileIn(dataDir: string): string {
  return join(dataDir, 'env');
}

export function headersFileIn(dataDir: string): string {
  return join(dataDir, 'headers');
}

/** Returns the workspace on which the app has most operations, of several the first; the one named like the app where it has none. */
export function mainWorkspace(app: Pick<InstalledApp, 'app' | 'grants'>): string {
  const [most] = [...operationsByWorkspace(app)].sort(([, one], [, other]) => other.length - one.length);
  return most?.[0] ?? app.app;
}
