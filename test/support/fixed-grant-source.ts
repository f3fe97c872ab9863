import { grantKey } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../src/authz/grant-source';
import { parseOp } from '../../src/authz/sys-data';

export interface FixedApp {
  readonly app: string;
  readonly user: string;
  readonly appKey?: string;
  readonly appSecret?: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly ops: readonly string[];
}

/** A source with the apps that a test gives it; `set` changes them at once. */
export class FixedGrantSource extends GrantSource {
  protected index = new GrantIndex();
  private ready = true;

  constructor(apps: readonly FixedApp[]) {
    super();
    this.set(apps);
  }

  set(apps: readonly FixedApp[]): void {
    const before = this.index;
    this.index = new GrantIndex();
    apps.forEach(({ ops, ...app }, at) => {
      this.index.put(`fixed app ${at}`, { ...app, grants: compiled(ops, app.app) }, at);
    });
    this.replaced(before);
  }

  setReady(ready: boolean): void {
    this.ready = ready;
  }

  override status(): GrantSourceStatus {
    return { ready: this.ready, installedApps: this.index.size, problems: this.index.problems() };
  }

  /** Nothing is open: one source may be that of several services, one after the other. */
  async close(): Promise<void> {}
}

function compiled(ops: readonly string[], app: string): ReadonlySet<string> {
  const grants = ops.map((op) => parseOp(op, app)).filter((grant) => 'operation' in grant);
  return new Set(grants.map((grant) => grantKey(grant.operation, grant.workspace)));
}
