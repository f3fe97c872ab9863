import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AppToInstall } from '../conformance/grant-source.conformance';

export function manifestOf({ app, ops }: Pick<AppToInstall, 'app' | 'ops'>): string {
  const sysData = ops.length === 0 ? '' : `  sysData:\n${entryOf(ops)}`;
  return `metadata:\n  name: ${JSON.stringify(app)}\npermission:\n  appData: true\n${sysData}`;
}

function entryOf(ops: readonly string[]): string {
  const items = ops.map((op) => `    - ${JSON.stringify(op)}\n`).join('');
  return `  - dataType: secret\n    group: secret.infisical\n    version: v1\n    ops:\n${items}`;
}

export function credentialsOf({ user, appKey, appSecret }: AppToInstall): string {
  return `user: ${JSON.stringify(user)}\nappKey: ${JSON.stringify(appKey)}\nappSecret: ${JSON.stringify(appSecret)}\n`;
}

/** A folder of apps on the disk, under a folder of its own. */
export class GrantsFolder {
  readonly root = mkdtempSync(join(tmpdir(), 'grants-'));
  readonly dir = join(this.root, 'apps');

  constructor(apps: readonly AppToInstall[] = []) {
    mkdirSync(this.dir);
    for (const [index, app] of apps.entries()) this.install(`app-${index}`, app);
  }

  path(...names: readonly string[]): string {
    return join(this.dir, ...names);
  }

  install(folder: string, app: AppToInstall): void {
    mkdirSync(this.path(folder), { recursive: true });
    this.write(`${folder}/OlaresManifest.yaml`, manifestOf(app));
    this.write(`${folder}/app.yaml`, credentialsOf(app));
  }

  write(name: string, text: string | Uint8Array): void {
    writeFileSync(this.path(name), text);
  }

  /** As most editors and tools save: a new file takes the place of the old one. */
  replace(name: string, text: string): void {
    writeFileSync(this.path(`${name}.new`), text);
    renameSync(this.path(`${name}.new`), this.path(name));
  }

  remove(name: string): void {
    rmSync(this.path(name), { recursive: true, force: true });
  }

  /** A new version of a Kubernetes mount: a folder of files, then `..data` is swapped for a link to it. */
  swapMount(at: string, version: string, files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      const path = this.path(at, `..${version}`, name);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, text);
    }
    symlinkSync(`..${version}`, this.path(at, '..data_tmp'));
    renameSync(this.path(at, '..data_tmp'), this.path(at, '..data'));
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
