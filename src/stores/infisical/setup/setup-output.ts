import { fieldsOf } from '../../../json/json';
import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { UsageError } from '../../../errors/operator-errors';
import type { SetupArguments } from './setup-arguments';
import { SetupFailed } from './admin-calls';

/** Returns the values for the chart. With Kubernetes Auth its pods must run as the ServiceAccount that may log in. */
export function helmValues(
  url: string,
  organizationId: string,
  login:
    | { readonly secretName: string }
    | { readonly identityId: string; readonly audience: string; readonly serviceAccount: string },
): string {
  const infisical = `infisical:
  url: ${quoted(url)}
  organizationId: ${quoted(organizationId)}
`;
  if ('secretName' in login) return `${infisical}  existingSecret: ${quoted(login.secretName)}\n`;
  return `${infisical}  kubernetesAuth:
    identityId: ${quoted(login.identityId)}
    audience: ${quoted(login.audience)}
serviceAccount:
  name: ${quoted(login.serviceAccount)}
`;
}

export function secretManifest(name: string, clientId: string, clientSecret: string): string {
  return `apiVersion: v1
kind: Secret
metadata:
  name: ${quoted(name)}
type: Opaque
stringData:
  client-id: ${quoted(clientId)}
  client-secret: ${quoted(clientSecret)}
`;
}

/** A file that is opened before there is a secret to write, since a secret that cannot be written would be lost. */
class PrivateFile {
  #written = false;

  private constructor(
    private readonly path: string,
    private readonly draft: string,
    private readonly handle: FileHandle,
    private readonly isReserved: boolean,
  ) {}

  /**
   * @param option the argument that names it
   * @param force whether a file that is there may be replaced
   * @throws UsageError where there is one that may not; SetupFailed where none can be written
   */
  static async open(path: string, option: string, force: boolean): Promise<PrivateFile> {
    const draft = `${path}.${randomBytes(4).toString('hex')}`;
    try {
      // The file is created at once, so that no other process can put one there.
      if (!force) await (await open(path, 'wx', 0o600)).close();
    } catch (error: unknown) {
      if (fieldsOf(error)['code'] === 'EEXIST')
        throw new UsageError(
          `The file of ${option} is there already: --force replaces it, nothing was done.`,
        );
      throw new SetupFailed(`The file of ${option} cannot be written.`);
    }
    try {
      return new PrivateFile(path, draft, await open(draft, 'wx', 0o600), !force);
    } catch {
      if (!force) await rm(path, { force: true });
      throw new SetupFailed(`The file of ${option} cannot be written.`);
    }
  }

  /** Writes the file as a whole or not at all, readable by its owner only, also where an older file was not. */
  async write(text: string): Promise<void> {
    await this.handle.writeFile(text);
    await this.handle.sync();
    await rename(this.draft, this.path);
    this.#written = true;
  }

  async remove(): Promise<void> {
    if (this.#written) await rm(this.path, { force: true });
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.draft, { force: true });
    if (this.isReserved && !this.#written) await rm(this.path, { force: true });
  }
}

/** The files that are opened before anything is sent. */
export interface OutputFiles {
  readonly manifest?: PrivateFile;
  readonly adminToken?: PrivateFile;
}

/** @throws as PrivateFile.open() does; then no file is left */
export async function outputFiles({
  secretManifest: path,
  adminTokenFile,
  force,
}: SetupArguments): Promise<OutputFiles> {
  const manifest = path === undefined ? undefined : await PrivateFile.open(path, '--secret-manifest', force);
  if (adminTokenFile === undefined) return manifest === undefined ? {} : { manifest };
  try {
    const adminToken = await PrivateFile.open(adminTokenFile, '--admin-token-file', force);
    return manifest === undefined ? { adminToken } : { manifest, adminToken };
  } catch (error: unknown) {
    await manifest?.close();
    throw error;
  }
}

/** Every string of JSON is a string of YAML. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
