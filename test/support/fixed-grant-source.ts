import { grantKey } from '../../src/grants/grant';
import { GrantSource, type GrantSourceStatus } from '../../src/grants/grant-source';
import type { InstalledApp } from '../../src/grants/installed-app';
import { parseOp } from '../../src/grants/parse-op';

export interface FixedApp {
  readonly app: string;
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
  readonly ops: readonly string[];
}

/** Installed apps as a test states them; `set` changes them at once. */
export class FixedGrantSource extends GrantSource {
  private apps: readonly InstalledApp[] = [];
  private ready = true;

  constructor(apps: readonly FixedApp[]) {
    super();
    this.set(apps);
  }

  set(apps: readonly FixedApp[]): void {
    this.apps = apps.map(({ ops, ...app }) => ({ ...app, grants: compiled(ops, app.app) }));
  }

  setReady(ready: boolean): void {
    this.ready = ready;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.single(this.apps.filter((a) => a.user === user && a.app === app));
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.single(this.apps.filter((a) => a.appKey === appKey));
  }

  status(): GrantSourceStatus {
    return { ready: this.ready, installedApps: this.apps.length, problems: [] };
  }

  async close(): Promise<void> {
    this.ready = false;
  }

  private single(found: readonly InstalledApp[]): InstalledApp | undefined {
    return found.length === 1 ? found[0] : undefined;
  }
}

function compiled(ops: readonly string[], app: string): ReadonlySet<string> {
  const grants = ops.map((op) => parseOp(op, app)).filter((grant) => 'operation' in grant);
  return new Set(grants.map((grant) => grantKey(grant.operation, grant.workspace)));
}
