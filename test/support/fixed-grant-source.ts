import { grantKey } from '../../src/grants/grant';
import { GrantSnapshot } from '../../src/grants/grant-snapshot';
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
  private snapshot = new GrantSnapshot([]);
  private ready = true;

  constructor(apps: readonly FixedApp[]) {
    super();
    this.set(apps);
  }

  set(apps: readonly FixedApp[]): void {
    const installed = apps.map(({ ops, ...app }) => ({ ...app, grants: compiled(ops, app.app) }));
    this.snapshot = new GrantSnapshot(
      installed.map((app, index) => ({ source: `fixed app ${index}`, installed: app })),
    );
  }

  setReady(ready: boolean): void {
    this.ready = ready;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.snapshot.find(user, app);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.snapshot.findByKey(appKey);
  }

  status(): GrantSourceStatus {
    return { ready: this.ready, installedApps: this.snapshot.size, problems: this.snapshot.problems };
  }

  async close(): Promise<void> {
    this.ready = false;
  }
}

function compiled(ops: readonly string[], app: string): ReadonlySet<string> {
  const grants = ops.map((op) => parseOp(op, app)).filter((grant) => 'operation' in grant);
  return new Set(grants.map((grant) => grantKey(grant.operation, grant.workspace)));
}
