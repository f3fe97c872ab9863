import { type AuditRecord, AuditSink, AuditSinkFailed } from '../../src/audit/audit-sink';
import type { AuditSettings } from '../../src/config/settings';

/** An audit trail whose records a test takes by a sink of its own. */
export const AUDIT_SETTINGS: AuditSettings = {
  sinks: 'stdout',
  key: Buffer.alloc(32, 7),
  deadlineMs: 200,
};

/** Keeps records in memory, and refuses them, or never answers, where a test says so. */
export class MemoryAuditSink extends AuditSink {
  readonly records: AuditRecord[] = [];
  /** Which of the following records is not taken. */
  refuse: (record: AuditRecord) => boolean = () => false;
  hangs = false;

  async append(record: AuditRecord): Promise<void> {
    if (this.hangs) return new Promise(() => undefined);
    if (this.refuse(record)) throw new AuditSinkFailed('ENOSPC');
    this.records.push(record);
  }

  async close(): Promise<void> {}
}
