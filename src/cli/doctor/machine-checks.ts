import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type EnvironmentVariables, fileErrorCode } from '../../config/environment-reader';
import type { Settings } from '../../config/settings';
import { readCertificates } from '../../config/tls-settings';
import { type CheckResult, failed, ok, skipped, warned } from './checks';

const DAY_MS = 86_400_000;
const WARNED_DAYS = 30;

/** Tells when the served certificate and the authorities that are trusted end. */
export function checkCertificates(settings: Settings, env: EnvironmentVariables): readonly CheckResult[] {
  const name = 'certificates';
  const { tls, store, redis } = settings;
  const infisical = store.kind === 'infisical' ? store.authorityFiles?.caFile : undefined;
  const files: readonly (readonly [setting: string, path: string | undefined])[] = [
    ['TLS_CERT_FILE', tls?.certFile],
    ['TLS_CLIENT_CA_FILE', tls?.clientCaFile],
    ['INFISICAL_CA_FILE', infisical],
    ['REDIS_CA_FILE', redis?.authorityFiles?.caFile],
    ['NODE_EXTRA_CA_CERTS', env['NODE_EXTRA_CA_CERTS'] || undefined],
  ];
  const results = files.flatMap(([setting, path]) =>
    path === undefined ? [] : [expiryOf(name, setting, path)],
  );
  return results.length > 0 ? results : [skipped(name, 'No setting names a certificate.')];
}

function expiryOf(name: string, setting: string, path: string): CheckResult {
  let certificates: readonly string[];
  try {
    certificates = readCertificates(path);
  } catch (error: unknown) {
    return failed(name, `${setting}: ${(error as Error).message}.`);
  }
  const ends = certificates.map((pem) => Date.parse(new X509Certificate(pem).validTo));
  // Of a bundle of authorities some may have ended long ago; the served chain is as good as its first end.
  const [first, last] = [Math.min(...ends), Math.max(...ends)];
  const isChain = setting === 'TLS_CERT_FILE';
  const days = Math.floor(((isChain ? first : last) - Date.now()) / DAY_MS);
  const renew = isChain ? 'renew it' : 'put the new authority into the file';
  if (days < 0)
    return failed(
      name,
      `${setting}: ${isChain ? 'a certificate of the chain' : 'every authority'} has expired; ${renew}.`,
    );
  if (days < WARNED_DAYS) return warned(name, `${setting} ends in ${days} days; ${renew}.`);
  if (first < Date.now())
    return warned(name, `${setting}: an authority of the file has expired; take it out.`);
  return ok(name, `${setting} is valid for ${days} days.`);
}

const MEBIBYTE = 1_048_576;
/** docs/embedded-store.md: the reserve of an empty store. */
const MIN_FREE_BYTES = 12 * MEBIBYTE;

/** Looks at the folder of the embedded store, and at the modes of all files that hold keys. Nothing is written. */
export async function checkDisk({ store, credentialFiles }: Settings): Promise<readonly CheckResult[]> {
  const modes = await Promise.all(
    Object.entries(credentialFiles).map(async ([setting, path]) => {
      const { mode = 0 } = (await stat(path).catch(() => undefined)) ?? {};
      return (mode & 0o007) === 0
        ? []
        : [warned('key-files', `${setting}_FILE: every user of the machine may use ${path}; chmod o= it.`)];
    }),
  );
  const keys = modes.flat();
  if (modes.length === 0) keys.push(skipped('key-files', 'No key is in a file.'));
  else if (keys.length === 0)
    keys.push(ok('key-files', `${modes.length} files of keys are closed to others.`));
  if (store.kind !== 'embedded') return [skipped('disk', 'Secrets are in Infisical.'), ...keys];
  return [await folderOf(store.dataDir, store.maxDiskReserveBytes), ...keys];
}

async function folderOf(dataDir: string, reserveBytes: number): Promise<CheckResult> {
  const name = 'disk';
  const folder = existingFolder(dataDir);
  const problem = await unwritable(folder);
  if (problem !== undefined) return failed(name, `DATA_DIR: ${problem}`);
  const { bavail, bsize } = await statfs(folder);
  const { mode, uid } = await stat(folder);
  // The root of a claim belongs to root and is open by its provisioner; the store in it is closed, and nobody in the pod may change this.
  const isOpen = folder === dataDir && uid === process.getuid?.() && (mode & 0o007) !== 0;
  return spaceOf(folder, bavail * bsize, reserveBytes, isOpen);
}

/** @param isOpen whether every user of the machine may use the folder, and this one may change that */
export function spaceOf(
  folder: string,
  freeBytes: number,
  reserveBytes: number,
  isOpen: boolean,
): CheckResult {
  const name = 'disk';
  const free = `${Math.floor(freeBytes / MEBIBYTE)} MiB of the disk of ${folder} are free`;
  if (freeBytes < MIN_FREE_BYTES)
    return failed(name, `${free}: creates and updates will be refused; make room.`);
  if (freeBytes < 2 * Math.max(reserveBytes, MIN_FREE_BYTES))
    return warned(name, `${free}; make room before it is full.`);
  if (isOpen) return warned(name, `Every user of the machine may look into ${folder}; chmod o= it.`);
  return ok(name, `${free}, and it can be written.`);
}

/** Returns the folder, or the nearest one above it where it is still to be made. */
function existingFolder(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingFolder(dirname(path));
}

/** Returns a sentence where this user may not write into the folder. */
async function unwritable(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.W_OK);
    return (await stat(path)).isDirectory() ? undefined : `${path} is no folder.`;
  } catch (error: unknown) {
    return `${path} cannot be written by this user (${fileErrorCode(error)}).`;
  }
}

/** Whether the next record can be written, without writing one. */
export async function checkAudit({ audit }: Settings): Promise<CheckResult> {
  const name = 'audit';
  if (audit === undefined) return skipped(name, 'AUDIT is off.');
  const path = audit.file?.path;
  if (path === undefined) return ok(name, 'The audit trail goes to standard output.');
  const problem = (await unwritable(existingFolder(dirname(path)))) ?? (await unwritableFile(path));
  if (problem === undefined) return ok(name, `${path} and its folder can be written.`);
  const effect = 'Every operation would be refused: give it to the user of the service.';
  return failed(name, `AUDIT_FILE: ${problem} ${effect}`);
}

/** Returns a sentence where the file is there and this user may not write to it. */
async function unwritableFile(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error: unknown) {
    const code = fileErrorCode(error);
    return code === 'ENOENT' ? undefined : `${path} cannot be written by this user (${code}).`;
  }
}

/** What the image starts the service with, beside what is about memory. */
export const HARDENING = [
  '--disallow-code-generation-from-strings',
  '--disable-proto=delete',
  '--disable-sigusr1',
];

/** @param root the folder in which process 1 is described, /proc of Linux */
export function checkNode(env: EnvironmentVariables, root = '/proc'): readonly CheckResult[] {
  const name = 'node';
  const version = process.versions.node;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isSupported = (major === 20 && minor >= 19) || (major === 22 && minor >= 13) || major >= 24;
  const results = [
    isSupported
      ? ok(name, `Node ${version} is supported.`)
      : failed(name, `Node ${version} is not supported: use 24, or 22.13 and later.`),
  ];
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    results.push(
      failed(name, 'NODE_TLS_REJECT_UNAUTHORIZED is 0, so no certificate is verified: remove it.'),
    );
  if (/--inspect/.test(env['NODE_OPTIONS'] ?? ''))
    results.push(failed(name, 'NODE_OPTIONS opens a debugger, which reads all memory: remove --inspect.'));
  return [...results, flagsOfService(root)];
}

/** In a container the service is process 1. */
function flagsOfService(root: string): CheckResult {
  const name = 'node-flags';
  let words: readonly string[] = [];
  try {
    words = readFileSync(join(root, '1/cmdline'), 'utf8').split('\0');
  } catch {
    // No Linux, or another user's process.
  }
  if (!words.some((word) => word.endsWith('dist/main.js')))
    return skipped(name, 'The service is not process 1 here, as it is in its image.');
  const missing = HARDENING.filter((flag) => !words.includes(flag));
  return missing.length === 0
    ? ok(name, 'The service runs with the hardening flags of the image.')
    : warned(name, `The service runs without ${missing.join(', ')}: start it as the image does.`);
}
