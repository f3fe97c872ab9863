import { SecretAlreadyExists, SecretNotFound } from '../../errors/store-errors';
import type { Precondition, Secret, SecretScope } from '../../secrets/secret';
import type { DataKeys } from './data-keys';
import { type RecordKeys, sealSecret, unsealSecret, type VaultDatabase } from './records';
import type { WriteOperation } from './vault/commit-queue';

/** What a write consists of, checked against what the database has. The caller holds the workspace's lock until it is written. */
export class WritePlans {
  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    private readonly dataKeys: DataKeys,
  ) {}

  /** @throws SecretAlreadyExists */
  async create(workspaceKey: Buffer, scope: SecretScope, secret: Secret): Promise<readonly WriteOperation[]> {
    const recordKey = this.recordKeys.ofSecret(scope, secret.name);
    if (await this.database.has(recordKey)) throw new SecretAlreadyExists(secret.name);
    // One batch, so that there is no data key without a secret, and no secret without its data key.
    const { key, operations } = await this.dataKeys.findOrMake(workspaceKey, scope);
    const value = sealSecret(key, { scope, recordKey }, secret);
    return [...operations, { type: 'put', key: recordKey, value }];
  }

  /** @throws SecretNotFound, PreconditionFailed */
  async update(
    scope: SecretScope,
    secret: Secret,
    precondition: Precondition | undefined,
  ): Promise<readonly WriteOperation[]> {
    const recordKey = await this.#existing(scope, secret.name, precondition);
    const value = sealSecret(await this.dataKeys.ofStored(scope), { scope, recordKey }, secret);
    return [{ type: 'put', key: recordKey, value }];
  }

  /** @throws SecretNotFound, PreconditionFailed */
  async delete(
    scope: SecretScope,
    name: string,
    precondition: Precondition | undefined,
  ): Promise<readonly WriteOperation[]> {
    return [{ type: 'del', key: await this.#existing(scope, name, precondition) }];
  }

  /** Returns the record key of a secret that exists and meets the precondition, for which alone its value is read. */
  async #existing(scope: SecretScope, name: string, precondition: Precondition | undefined): Promise<Buffer> {
    const recordKey = this.recordKeys.ofSecret(scope, name);
    if (precondition === undefined) {
      if (!(await this.database.has(recordKey))) throw new SecretNotFound(name);
      return recordKey;
    }
    const record = await this.database.get(recordKey);
    if (record === undefined) throw new SecretNotFound(name);
    precondition(unsealSecret(await this.dataKeys.ofStored(scope), { scope, recordKey }, record));
    return recordKey;
  }
}
