import { ENVIRONMENTS, type Usage } from '../../secrets/secret';
import type { StoredWorkspace } from '../../secrets/secret-store';
import type { DataKeys } from './data-keys';
import {
  keyBatches,
  NotAuthentic,
  recordBatches,
  type RecordKeys,
  type RecordRange,
  usageIn,
  type VaultDatabase,
  WORKSPACE_RECORDS,
  type WorkspaceOfUser,
} from './records';
import type { WriteOperation } from './vault/commit-queue';

/** In one batch of a removal; a workspace with fewer secrets is removed in a single batch. */
const MAX_DELETES = 1_000;

/** Each record begins with its own nonce, which tells a workspace from one that was created again under the same names. */
const NONCE_BYTES = 12;

/** Finds the workspaces of a user and what belongs to them. It opens every record for that: record keys are hashes. */
export class StoredWorkspaces {
  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    private readonly dataKeys: DataKeys,
  ) {}

  /** Reads all workspace records. One that does not open is left out: nobody can read it, nor tell whose it was. */
  async of(user: string): Promise<readonly StoredWorkspace[]> {
    const found: StoredWorkspace[] = [];
    for await (const [workspaceKey, sealed] of this.recordsOf(user))
      found.push(handleOf(workspaceKey, sealed));
    return found;
  }

  /** Returns the usage of the secrets in all workspaces of a user. */
  async usageOf(user: string): Promise<Usage> {
    let [secrets, bytes] = [0, 0];
    for await (const [, , names] of this.recordsOf(user)) {
      for (const range of this.rangesOf(names)) {
        const usage = await usageIn(this.database, range);
        secrets += usage.secrets;
        bytes += usage.bytes;
      }
    }
    return { secrets, bytes };
  }

  /**
   * Yields the batches that delete a workspace's secrets and then its record, to be written one after the other; none when it is gone,
   * or was created again. Whenever the removal is interrupted, no secret is left without its data key.
   */
  async *removal(workspace: StoredWorkspace): AsyncGenerator<readonly WriteOperation[]> {
    const key = workspaceKeyOf(workspace);
    const sealed = await this.database.get(key);
    if (sealed === undefined || handleOf(key, sealed).id !== workspace.id) return;
    const { names } = this.dataKeys.open(key, sealed);
    let last: readonly Buffer[] = [];
    for (const range of this.rangesOf(names)) {
      for await (const keys of keyBatches(this.database, range)) {
        if (last.length > 0 && last.length + keys.length > MAX_DELETES) {
          yield deletesOf(last);
          last = [];
        }
        last = [...last, ...keys];
      }
    }
    yield deletesOf([...last, key]);
  }

  private rangesOf(names: WorkspaceOfUser): readonly RecordRange[] {
    return ENVIRONMENTS.map((environment) => this.recordKeys.ofScope({ ...names, environment }));
  }

  private async *recordsOf(user: string): AsyncGenerator<[Buffer, Buffer, WorkspaceOfUser]> {
    for await (const batch of recordBatches(this.database, WORKSPACE_RECORDS)) {
      for (const [workspaceKey, sealed] of batch) {
        const names = this.namesIn(workspaceKey, sealed);
        if (names?.user === user) yield [workspaceKey, sealed, names];
      }
    }
  }

  private namesIn(workspaceKey: Buffer, sealed: Buffer): WorkspaceOfUser | undefined {
    try {
      return this.dataKeys.open(workspaceKey, sealed).names;
    } catch (error: unknown) {
      if (error instanceof NotAuthentic) return undefined;
      throw error;
    }
  }
}

export function workspaceKeyOf({ id }: StoredWorkspace): Buffer {
  return Buffer.from(id.split('.')[0] ?? '', 'hex');
}

function handleOf(workspaceKey: Buffer, sealed: Buffer): StoredWorkspace {
  return { id: `${workspaceKey.toString('hex')}.${sealed.toString('hex', 0, NONCE_BYTES)}` };
}

function deletesOf(keys: readonly Buffer[]): readonly WriteOperation[] {
  return keys.map((key) => ({ type: 'del', key }));
}
