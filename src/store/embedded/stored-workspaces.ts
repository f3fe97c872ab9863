import { ENVIRONMENTS } from '../../secrets/secret';
import type { StoredWorkspace } from '../../secrets/secret-store';
import type { Usage } from '../../secrets/usage';
import type { WriteOperation } from './commit-queue';
import type { DataKeys } from './data-keys';
import { recordBatches, usageIn, type RecordRange } from './record-batches';
import { WORKSPACE_RECORDS, type RecordKeys, type WorkspaceOfUser } from './record-keys';
import { NotAuthentic } from './seal';
import type { VaultDatabase } from './vault-database';

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

  /** The deletes of its record and of all its secrets; none when it is gone, or was made anew. */
  async removal(workspace: StoredWorkspace): Promise<readonly WriteOperation[]> {
    const key = workspaceKeyOf(workspace);
    const sealed = await this.database.get(key);
    if (sealed === undefined || handleOf(key, sealed).id !== workspace.id) return [];
    const { names } = this.dataKeys.open(key, sealed);
    const secrets = await Promise.all(
      this.rangesOf(names).map(async (range) => this.database.keys(range).all()),
    );
    return [key, ...secrets.flat()].map((each) => ({ type: 'del', key: each }));
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
