import type { EnvironmentReader } from './environment-reader';

export interface AuditSettings {
  readonly sinks: 'stdout' | 'file' | 'both';
  readonly key: Uint8Array;
  readonly deadlineMs: number;
  /** Present with `file` and `both`. */
  readonly file?: AuditFileSettings;
}

interface AuditFileSettings {
  readonly path: string;
  readonly maxFileBytes: number;
  readonly maxFileAgeMs: number;
  readonly keptFiles: number;
  readonly durability: 'fsync' | 'os';
}

const HOUR_MS = 3_600_000;

/** Returns undefined where nothing is audited. */
export function auditSettings(read: EnvironmentReader): AuditSettings | undefined {
  const sinks = read.oneOf('AUDIT', ['off', 'stdout', 'file', 'both']);
  const deadlineMs = read.integer('AUDIT_DEADLINE_MS', 10, 60_000);
  const path = read.text('AUDIT_FILE');
  const limits = {
    maxFileBytes: read.integer('AUDIT_FILE_MAX_MIB', 1, 100_000) * 1_048_576,
    maxFileAgeMs: read.integer('AUDIT_FILE_MAX_HOURS', 1, 100_000) * HOUR_MS,
    keptFiles: read.integer('AUDIT_FILES_KEPT', 0, 100_000),
    durability: read.oneOf('AUDIT_DURABILITY', ['os', 'fsync']),
  };
  if (sinks === 'off') return undefined;
  const key = read.key('AUDIT_KEY', 'must hold the key of the audit trail, since AUDIT is not off');
  if (sinks === 'stdout') return { sinks, key, deadlineMs };
  if (path === undefined) read.problem('AUDIT_FILE', `must name a file, since AUDIT is ${sinks}`);
  return { sinks, key, deadlineMs, file: { path: path ?? '', ...limits } };
}
