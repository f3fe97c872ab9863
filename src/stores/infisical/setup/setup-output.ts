import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { SetupFailed } from './admin-calls';

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
  private constructor(
    private readonly path: string,
    private readonly draft: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws SetupFailed */
  static async open(path: string): Promise<PrivateFile> {
    const draft = `${path}.${randomBytes(4).toString('hex')}`;
    try {
      return new PrivateFile(path, draft, await open(draft, 'wx', 0o600));
    } catch {
      throw new SetupFailed('The file of --secret-manifest cannot be written.');
    }
  }

  /** Whole or not at all, and readable by its owner only, also where an older file was not. */
  async write(text: string): Promise<void> {
    await this.handle.writeFile(text);
    await this.handle.sync();
    await rename(this.draft, this.path);
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.draft, { force: true });
  }
}

/** JSON's strings are YAML's. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
