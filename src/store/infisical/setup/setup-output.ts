import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { WrongUsage } from './setup-arguments';
import { SetupFailed } from './setup-failed';

export interface HelmInput {
  readonly url: string;
  readonly organizationId: string;
  readonly login:
    { readonly secretName: string } | { readonly identityId: string; readonly audience: string };
}

/** Values of the chart. */
export function helmValues({ url, organizationId, login }: HelmInput): string {
  const way =
    'secretName' in login
      ? [`  existingSecret: ${quoted(login.secretName)}`]
      : [
          '  kubernetesAuth:',
          `    identityId: ${quoted(login.identityId)}`,
          `    audience: ${quoted(login.audience)}`,
        ];
  return [
    'infisical:',
    `  url: ${quoted(url)}`,
    `  organizationId: ${quoted(organizationId)}`,
    ...way,
    '',
  ].join('\n');
}

export function secretManifest(name: string, clientId: string, clientSecret: string): string {
  return [
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    `  name: ${quoted(name)}`,
    'type: Opaque',
    'stringData:',
    `  client-id: ${quoted(clientId)}`,
    `  client-secret: ${quoted(clientSecret)}`,
    '',
  ].join('\n');
}

/** Opened before there is a secret to write: one that no file takes would be lost. */
export class PrivateFile {
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
   * @throws WrongUsage where there is one that may not; SetupFailed where none can be written
   */
  static async open(path: string, option: string, force: boolean): Promise<PrivateFile> {
    const draft = `${path}.${randomBytes(4).toString('hex')}`;
    try {
      // Nobody else can put a file there meanwhile.
      if (!force) await (await open(path, 'wx', 0o600)).close();
    } catch (error: unknown) {
      if (isThere(error))
        throw new WrongUsage(
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

  /** Whole or not at all, and readable by its owner only, also where an older file was not. */
  async write(text: string): Promise<void> {
    await this.handle.writeFile(text);
    await this.handle.sync();
    await rename(this.draft, this.path);
    this.#written = true;
  }

  /** What was written is taken away again. */
  async remove(): Promise<void> {
    if (this.#written) await rm(this.path, { force: true });
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.draft, { force: true });
    if (this.isReserved && !this.#written) await rm(this.path, { force: true });
  }
}

function isThere(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}

/** JSON's strings are YAML's. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
