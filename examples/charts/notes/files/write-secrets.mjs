// Writes secrets to files, for an init container that runs the image of the secret service:
//
//   node write-secrets.mjs <folder> <name>[=<file>] ...
//
// A file has the mode 0400, belongs to the user of this process, and appears whole or not at all. All secrets are read before anything is
// written: where one is missing, the files stay as they were. Environment: OLARES_SECRETS_URL, OLARES_SECRETS_WORKSPACE, OLARES_SECRETS_ENV
// (prod), OLARES_SECRETS_TOKEN_FILE, and behind the RBAC proxy of Olares 1.12.7 and later OLARES_SECRETS_POD_TOKEN_FILE.
import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import client from '/app/dist/client/index.js';

const DRAFT = '.draft-';
const { env } = process;

/** Returns the files to write, by name of the secret. */
function filesOf(args) {
  const files = args.map((arg) => {
    const at = arg.lastIndexOf('=');
    return at < 0 ? [arg, arg] : [arg.slice(0, at), arg.slice(at + 1)];
  });
  for (const [name, file] of files)
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(file))
      throw new Error(`The secret ${name} needs another name for its file: ${name}=<file>.`);
  return files;
}

async function removeDrafts(folder) {
  const left = (await readdir(folder)).filter((name) => name.startsWith(DRAFT));
  await Promise.all(left.map((name) => rm(join(folder, name), { force: true })));
}

async function write(folder, file, value) {
  const draft = join(folder, DRAFT + randomBytes(8).toString('hex'));
  const handle = await open(draft, 'wx', 0o400);
  try {
    await handle.writeFile(value);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, join(folder, file));
}

async function main([folder, ...args]) {
  if (folder === undefined || args.length === 0)
    throw new Error('Usage: write-secrets.mjs <folder> <name>[=<file>] ...');
  const files = filesOf(args);
  const vault = new client.SecretVault({
    url: env.OLARES_SECRETS_URL,
    workspace: env.OLARES_SECRETS_WORKSPACE,
    environment: env.OLARES_SECRETS_ENV || 'prod',
    serviceAccountTokenFile: env.OLARES_SECRETS_TOKEN_FILE,
    podTokenFile: env.OLARES_SECRETS_POD_TOKEN_FILE || undefined,
  });
  const values = [];
  // One after the other, so that the one that is named is the first that cannot be read.
  for (const [name, file] of files) {
    try {
      values.push([file, await vault.retrieve(name)]);
    } catch (error) {
      if (!(error instanceof client.SecretVaultError)) throw error;
      const reason = `${error.reason}: ${error.message}`;
      throw new Error(`The secret ${name} cannot be read: ${reason}`, { cause: error });
    }
  }
  try {
    for (const [file, value] of values) await write(folder, file, value);
  } finally {
    // Also those of a container that was killed while it wrote.
    await removeDrafts(folder);
  }
  console.log(`${values.length} secrets were written to ${folder}.`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  // The message is one of the sentences above, of the client, or of the file system, none of which has a value in it.
  console.error(error instanceof Error ? error.message : 'Unknown failure.');
  process.exitCode = 1;
}
