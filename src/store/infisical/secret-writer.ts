import {
  ApprovalRequired,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
} from '../../errors/store-errors';
import type { SecretRow } from './answers';
import { earlierBy, type Deadline } from './deadline';
import type { InfisicalApi } from './infisical-api';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { Log } from './infisical-options';
import type { ScopeReader } from './scope-reader';
import { writeSecret, type Room, type SecretWrite } from './secret-calls';
import { refusedName, requireWritableName } from './secret-name';
import { doubtAfter } from './write-doubt';

/** Kept back from each write, for the one look that may have to decide whether it happened. */
const LONGEST_LOOK_MS = 2_500;

/** A secret that is there, and how many rows the server holds of it. */
export interface StoredSecret {
  readonly name: string;
  readonly stored: string;
  readonly copies: number;
}

/** Writes once, and finds out what became of it. The caller holds the scope's turn and has looked for copies. */
export class SecretWriter {
  constructor(
    private readonly api: InfisicalApi,
    private readonly reader: ScopeReader,
    private readonly operationTimeoutMs: number,
    private readonly log: Log,
  ) {}

  /** @throws InvalidRequest for a name that this server's own routes leave no room for */
  async requireWritable(name: string, deadline: Deadline): Promise<void> {
    requireWritableName(await this.api.dialect(deadline), name);
  }

  /** @throws SecretAlreadyExists where another writer was faster */
  async create(room: Room, name: string, stored: string, deadline: Deadline): Promise<void> {
    await this.#write(room, { call: 'createSecret', name, stored }, deadline);
  }

  /**
   * A name that is stored more than once is made whole: an update would change one of its rows, a delete takes all.
   * @throws SecretNotFound where another writer deleted it meanwhile
   */
  async update(room: Room, { name, stored, copies }: StoredSecret, deadline: Deadline): Promise<void> {
    if (copies === 1) return this.#write(room, { call: 'updateSecret', name, stored }, deadline);
    await this.delete(room, name, deadline);
    try {
      await this.#write(room, { call: 'createSecret', name, stored }, deadline);
    } catch {
      // The old rows are gone already: whatever went wrong, nobody may be told that nothing changed.
      this.log('infisical.duplicates.notHealed', { copies });
      throw new StoreOutcomeUnknown();
    }
    this.log('infisical.duplicates.healed', { copies });
  }

  /** @throws SecretNotFound where another writer was faster */
  async delete(room: Room, name: string, deadline: Deadline): Promise<void> {
    await this.#write(room, { call: 'deleteSecret', name }, deadline);
    this.reader.deleted(room, name);
  }

  async #write(room: Room, write: SecretWrite, deadline: Deadline): Promise<void> {
    try {
      const reserveMs = Math.min(LONGEST_LOOK_MS, this.operationTimeoutMs / 4);
      const answer = await writeSecret(this.api, room, write, earlierBy(reserveMs, deadline));
      if (answer === 'approvalRequired') throw new ApprovalRequired();
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      if (error.reason === 'alreadyExists:secret') throw new SecretAlreadyExists(write.name);
      if (error.reason === 'notFound:secret') throw new SecretNotFound(write.name);
      if (error.reason === 'nameRefused')
        throw write.call === 'createSecret' ? refusedName(write.name) : new SecretNotFound(write.name);
      await this.#settle(room, write, error, deadline);
    }
  }

  /** One look; a write is never sent twice. */
  async #settle(
    room: Room,
    write: SecretWrite,
    failure: InfisicalCallFailed,
    deadline: Deadline,
  ): Promise<void> {
    const doubt = doubtAfter(failure);
    if (doubt === 'none') throw failure;
    const { call, reason } = failure;
    const happened = await this.#happened(room, write, deadline);
    this.log('infisical.write.lookedUp', { call, reason, happened: String(happened) });
    if (happened === true) return;
    throw happened === false && doubt === 'ended' ? failure : new StoreOutcomeUnknown();
  }

  /** Undefined where the look failed too, or shows what somebody else must have written. */
  async #happened(room: Room, write: SecretWrite, deadline: Deadline): Promise<boolean | undefined> {
    try {
      const rows = await this.reader.rowsIn(room, write.name, deadline);
      if (write.call === 'deleteSecret') return rows.length === 0;
      const fresh = (row: SecretRow) => write.call === 'updateSecret' || row.version <= 1;
      if (rows.some((row) => row.stored === write.stored && fresh(row))) return true;
      return write.call === 'createSecret' && rows.length > 0 ? undefined : false;
    } catch (error: unknown) {
      if (error instanceof InfisicalCallFailed) return undefined;
      throw error;
    }
  }
}
