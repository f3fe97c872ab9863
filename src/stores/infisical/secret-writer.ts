import { InvalidRequest } from '../../errors/request-errors';
import { DomainError } from '../../errors/domain-error';
import {
  ApprovalRequired,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
} from '../../errors/store-errors';
import { isAlwaysEscaped, type SecretRow, keysOf } from './secret-codec';
import { type CallContext, uncancelled } from '../../secrets/secret';
import { earlierBy } from '../../time/clock';
import type { InfisicalApi } from './api/infisical-api';
import { InfisicalCallFailed } from './versions/infisical-call-failed';
import type { LogEvent } from '../../logging/log';
import type { ListedLocations } from './listed-locations';
import type { ScopeReader } from './scope-reader';
import {
  type StoredSecret,
  writeSecret,
  type ProjectEnvironment,
  type SecretWrite,
  preferredRow,
} from './api/secret-calls';

/** Makes the error for a name that passed our rules but not the server's, which only its answer shows. */
function refusedName(name: string): InvalidRequest {
  const rule = / /.test(name)
    ? 'must not hold spaces, or be so much shorter that it can be stored escaped'
    : 'must be one that Infisical takes';
  return new InvalidRequest('name', `${rule}: this server refuses it`);
}

/** The part of each write's time that is reserved for the read that may have to verify it. */
const MAX_VERIFY_MS = 2_500;

/** The maximum number of updates for a name with duplicate rows: the servers were seen to leave two to twenty rows. */
const MAX_UPDATES = 8;

/**
 * Sends writes, and verifies one whose outcome is unknown. What certainly was not carried out InfisicalApi sends again, nothing else. The
 * caller serializes the writes of a scope.
 */
export class SecretWriter {
  constructor(
    private readonly api: InfisicalApi,
    private readonly reader: ScopeReader,
    private readonly locations: ListedLocations,
    private readonly operationTimeoutMs: number,
    private readonly log: LogEvent,
  ) {}

  /** @throws SecretAlreadyExists where another writer was faster */
  async create(location: ProjectEnvironment, secret: StoredSecret, context: CallContext): Promise<void> {
    await this.#write(location, { call: 'createSecret', ...secret }, context);
  }

  /**
   * @param rowCount how many rows the server has of it
   * @throws SecretNotFound where another writer deleted it meanwhile
   */
  async update(
    location: ProjectEnvironment,
    secret: StoredSecret,
    rowCount: number,
    context: CallContext,
  ): Promise<void> {
    await this.#write(location, { call: 'updateSecret', ...secret }, context);
    if (rowCount > 1) await this.#repairDuplicates(location, secret, uncancelled(context));
  }

  /**
   * Repeats an update until the row that reads prefer has the value: each update changes one of the duplicate rows, which the server
   * picks. Nothing is deleted, since a delete removes all rows, and the create after it might be refused.
   */
  async #repairDuplicates(
    location: ProjectEnvironment,
    secret: StoredSecret,
    context: CallContext,
  ): Promise<void> {
    for (let updates = 1; ; updates++) {
      try {
        const rows = await this.reader.retrieveFrom(location, secret.name, context);
        if (preferredRow(rows)?.stored === secret.stored)
          return this.log('info', 'infisical_duplicates_repaired', { copies: rows.length, updates });
        if (updates < MAX_UPDATES) {
          await this.#write(location, { call: 'updateSecret', ...secret }, context);
          continue;
        }
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed || error instanceof DomainError)) throw error;
      }
      // One of the rows was changed, but reads may still return another.
      this.log('warn', 'infisical_duplicates_not_repaired', { updates });
      throw new StoreOutcomeUnknown();
    }
  }

  /** @throws SecretNotFound where another writer was faster */
  async delete(location: ProjectEnvironment, name: string, context: CallContext): Promise<void> {
    await this.#write(location, { call: 'deleteSecret', name }, context);
    this.locations.deleted(location, name);
  }

  /**
   * Writes under the first key of the name; under the other one where the server has no such secret, or refuses that key. A name that only some
   * servers take may be stored under either since before an upgrade: a create looks for both first, and a delete deletes both.
   */
  async #write(location: ProjectEnvironment, write: SecretWrite, context: CallContext): Promise<void> {
    const { call, name } = write;
    const isCreate = call === 'createSecret';
    const keys = keysOf(name, await this.api.apiVersion(context));
    const mayBeEither = keys.length > 1 && !isAlwaysEscaped(name);
    if (isCreate && mayBeEither && (await this.reader.retrieveFrom(location, name, context)).length > 0)
      throw new SecretAlreadyExists(name);
    let isWritten = false;
    for (const key of isCreate && keys[0] !== name ? keys.slice(0, 1) : keys) {
      try {
        if (!(await this.#writeKey(location, key, write, isWritten ? uncancelled(context) : context)))
          continue;
      } catch (error: unknown) {
        if (!isWritten) throw error;
        await this.#verifyRest(location, write, error, uncancelled(context));
      }
      isWritten = true;
      if (call !== 'deleteSecret' || !mayBeEither) break;
    }
    if (!isWritten) throw isCreate ? refusedName(name) : new SecretNotFound(name);
  }

  /** Returns false where the server has no secret of this key to change, or refuses the key. */
  async #writeKey(
    location: ProjectEnvironment,
    key: string,
    write: SecretWrite,
    context: CallContext,
  ): Promise<boolean> {
    try {
      const reserveMs = Math.min(MAX_VERIFY_MS, this.operationTimeoutMs / 4);
      const sending = { deadline: earlierBy(reserveMs, context.deadline), signal: context.signal };
      const answer = await writeSecret(this.api, location, key, write, sending);
      if (answer === 'approvalRequired') throw new ApprovalRequired();
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      if (error.reason === 'alreadyExists:secret') throw new SecretAlreadyExists(write.name);
      if (error.reason === 'notFound:secret' || error.reason === 'nameRefused') return false;
      await this.#verify(location, key, write, error, uncancelled(context));
    }
    return true;
  }

  /** Verifies a failed write of this key by a read; a write that may have been carried out is never sent again. */
  async #verify(
    location: ProjectEnvironment,
    key: string,
    write: SecretWrite,
    failure: InfisicalCallFailed,
    context: CallContext,
  ): Promise<void> {
    const { call, reason, writeOutcome } = failure;
    if (writeOutcome === 'notApplied') throw failure;
    const happened = await this.#hasHappened(location, write, context, key);
    if (call === 'createSecret' && writeOutcome === 'maybeRunning')
      this.locations.indeterminateCreate(location, write.name);
    this.log('info', 'infisical_write_verified', { call, reason, happened: String(happened) });
    if (happened === true) return;
    if (happened === 'another' && writeOutcome === 'finished') throw new SecretAlreadyExists(write.name);
    throw happened === false && writeOutcome === 'finished' ? failure : new StoreOutcomeUnknown();
  }

  /**
   * Verifies a delete of two rows whose first one is gone when the second fails: "nothing was changed" would be true of the second alone.
   * @throws StoreOutcomeUnknown unless a read finds neither
   */
  async #verifyRest(
    location: ProjectEnvironment,
    write: SecretWrite,
    failure: unknown,
    context: CallContext,
  ): Promise<void> {
    if (!(failure instanceof InfisicalCallFailed || failure instanceof DomainError)) throw failure;
    const happened = await this.#hasHappened(location, write, context);
    if (failure instanceof InfisicalCallFailed) {
      const { call, reason } = failure;
      this.log('info', 'infisical_write_verified', { call, reason, happened: String(happened) });
    }
    if (happened !== true) throw new StoreOutcomeUnknown();
  }

  /**
   * Returns `unknown` where the read failed too, or cannot tell, as the server hides the value of a row; `another` where another create
   * stored the name and nothing has updated it since, so that it cannot have been this one.
   * @param key the only key that a delete was to remove, as the name may be stored under its other one too; both without it
   */
  async #hasHappened(
    location: ProjectEnvironment,
    write: SecretWrite,
    context: CallContext,
    key?: string,
  ): Promise<boolean | 'another' | 'unknown'> {
    try {
      const rows = await this.reader.retrieveFrom(location, write.name, context);
      if (write.call === 'deleteSecret') return !rows.some((row) => key === undefined || row.key === key);
      const isFresh = (row: SecretRow) => write.call === 'updateSecret' || row.version <= 1;
      if (rows.some((row) => row.stored === write.stored && isFresh(row))) return true;
      if (rows.some((row) => row.stored === undefined)) return 'unknown';
      if (write.call === 'updateSecret' || rows.length === 0) return false;
      return rows.every((row) => row.version <= 1) ? 'another' : 'unknown';
    } catch (error: unknown) {
      if (error instanceof InfisicalCallFailed) return 'unknown';
      throw error;
    }
  }
}
