import type { Reason } from '../errors/domain-error';
import type { LogDestination } from '../logging/log';

/** How an operation ended for its caller, whatever the form of the answer. */
type AuditOutcome = 'allowed' | 'denied' | 'failed' | 'limited' | 'cancelled';

/** The outcome of each reason; without a reason the operation was allowed and done. */
export const OUTCOME_OF = {
  INVALID_REQUEST: 'failed',
  UNAUTHENTICATED: 'denied',
  NOT_GRANTED: 'denied',
  USER_MISMATCH: 'denied',
  NOT_SETTINGS_APP: 'denied',
  CROSS_SITE_REQUEST: 'denied',
  SECRET_NOT_FOUND: 'failed',
  ROUTE_NOT_FOUND: 'failed',
  SECRET_ALREADY_EXISTS: 'failed',
  APPROVAL_REQUIRED: 'failed',
  PRECONDITION_FAILED: 'failed',
  REQUEST_TOO_LARGE: 'limited',
  STORE_REFUSED: 'failed',
  TOO_MANY_REQUESTS: 'limited',
  HEADERS_TOO_LARGE: 'limited',
  CLIENT_GONE: 'cancelled',
  INTERNAL: 'failed',
  STORE_UNAVAILABLE: 'failed',
  STORE_OUTCOME_UNKNOWN: 'failed',
  GRANTS_UNAVAILABLE: 'failed',
  IDENTITY_UNAVAILABLE: 'failed',
  USER_REMOVAL_PENDING: 'failed',
  AUDIT_UNAVAILABLE: 'failed',
  NOT_READY: 'failed',
  OVERLOADED: 'limited',
  SHUTTING_DOWN: 'failed',
  QUOTA_EXCEEDED: 'limited',
  STORE_FULL: 'limited',
  LIST_TOO_LARGE: 'limited',
} as const satisfies Record<Reason, AuditOutcome>;

/** One record of the trail: names and how the operation ended; never a value, a token or a key. */
export interface AuditRecord {
  /** RFC 3339, in UTC. */
  readonly time: string;
  /** Absent for the event `suppressed`. */
  readonly requestId?: string;
  /**
   * `attempt`: the change is about to be made, such as a write sent to the store; the record of its outcome has the same request id. `suppressed`: how many
   * refusals of strangers at `peer`, or of an app beyond its rate limit, have no record of their own.
   */
  readonly event: 'outcome' | 'attempt' | 'suppressed';
  /** Absent for an attempt. */
  readonly outcome?: AuditOutcome;
  readonly reason?: Reason;
  readonly operation: string;
  readonly app?: string;
  readonly user?: string;
  /** The app whose key was sent with a refused proof; anybody may have sent it. */
  readonly claimedApp?: string;
  readonly claimedUser?: string;
  /** Who acts for the user. */
  readonly administrator?: string;
  /** By which credentials app and user were proven. */
  readonly provenBy?: readonly string[];
  /** Address of the socket. */
  readonly peer?: string;
  readonly workspace?: string;
  /** Where Settings read several. */
  readonly workspaces?: readonly string[];
  readonly environment?: string;
  readonly name?: string;
  /** `<Op>?workspace=<name>`, where authorize() found it; of an access token all that it was issued for. */
  readonly grants?: readonly string[];
  /** Of ApproveGrant: what the user approves for the app. */
  readonly approved?: readonly string[];
  /** Of a write: the keyed hash by which `audit verify-value` recognises the value. */
  readonly valueMac?: string;
  readonly durationMs?: number;
  /** Present where a cache answered since the store could not be asked. */
  readonly staleForMs?: number;
  /** Of `suppressed`: how many refusals there were, by `<operation> <outcome> <reason>`. */
  readonly refusals?: Readonly<Record<string, number>>;
  /** True where the next refusals of the same kind are only counted, in a record of the event `suppressed`. */
  readonly suppressing?: true;
  /** True where the caller was gone when the record was made. */
  readonly clientGone?: true;
}

/** A sink did not take a record. */
export class AuditSinkFailed extends Error {
  /** @param cause one word that is safe to log, e.g. `ENOSPC` */
  constructor(readonly failure: string) {
    super(`the audit record was not taken (${failure})`);
    this.name = 'AuditSinkFailed';
  }
}

/** Takes the records of the audit trail. Every implementation passes describeAuditSink(). */
export abstract class AuditSink {
  /**
   * Resolves once the record is where the sink promises it to be; records are taken in the order of the calls. After a
   * failure the next call tries again.
   * @throws AuditSinkFailed; nothing of the record is then left that a reader could take for a record
   */
  abstract append(record: AuditRecord): Promise<void>;
  /** Takes what was appended, then closes. */
  abstract close(): Promise<void>;
}

/** Writes each record as a line with `"audit":1`, which no line of the log has. Shipping keeps them; there is no chain. */
export class StdoutAuditSink extends AuditSink {
  constructor(private readonly lines: Pick<LogDestination, 'deliver'>) {
    super();
  }

  async append(record: AuditRecord): Promise<void> {
    const line = `{"audit":1,${JSON.stringify(record).slice(1)}\n`;
    if (!(await this.lines.deliver(line))) throw new AuditSinkFailed('reader_behind');
  }

  async close(): Promise<void> {
    // Standard output stays open for the log.
  }
}

/** Takes each record into two sinks; it is taken where both took it. */
export class BothAuditSinks extends AuditSink {
  constructor(
    private readonly one: AuditSink,
    private readonly other: AuditSink,
  ) {
    super();
  }

  async append(record: AuditRecord): Promise<void> {
    await this.one.append(record);
    await this.other.append(record);
  }

  async close(): Promise<void> {
    await Promise.all([this.one.close(), this.other.close()]);
  }
}
