import { ENVIRONMENTS, type Usage } from '../../secrets/secret';
import type { StoredWorkspace } from '../../secrets/secret-store';
import type { WriteOperation } from './vault/commit-queue';
import type { DataKeys } from './data-keys';
import {
  keyBatches,
  recordBatches,
  usageIn,
  type RecordRange,
  WORKSPACE_RECORDS,
  type RecordKeys,
  type WorkspaceOfUser,
} from './records';
import { NotAuthentic } from './seal';
import type { VaultDatabase } from './records';

/** In one batch of a removal; a workspace with fewer secrets is removed at one blow. */
const MAX_DELETES = 1_000;

/** One nonce for each record that was ever made: a workspace that is made anew is another one. */
const NONCE_BYTES = 12;

/** Finds whose workspaces there are, and what belongs to one. Only the records themselves tell: their keys are hashes. */
export class StoredWorkspaces {
  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    private readonly dataKeys: DataKeys,
  ) {}

  /** Looks through all workspaces. One that does not open cannot be read by anybody any more, nor does it tell whose it was. */
  async of(user: string): Promise<readonly StoredWorkspace[]> {
    const found: StoredWorkspace[] = [];
    for await (const [workspaceKey, sealed] of this.recordsOf(user))
      found.push(handleOf(workspaceKey, sealed));
    return found;
  }

  /** What the secrets in all workspaces of a user take. */
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
   * What deletes its secrets and then its record, in batches to be written one after the other; none when it is gone, or
   * was made anew. Whatever comes in between, no secret is left without its data key.
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

function deletesOf(keys: readonly Buffer[]): readonly WriteOperation[] {
  return keys.map((key) => ({ type: 'del', key }));
}

function handleOf(workspaceKey: Buffer, sealed: Buffer): StoredWorkspace {
  return { id: `${workspaceKey.toString('hex')}.${sealed.toString('hex', 0, NONCE_BYTES)}` };
}
