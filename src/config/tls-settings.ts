import type { EnvironmentReader } from './environment-reader';
import { readFile } from './secret-source';
import type { SettingName } from './setting-definitions';
import { tlsMaterialFrom, type TlsFiles, tlsPaths } from './tls-material';

export interface TlsSettings extends TlsFiles {
  /** `CN=<name>`, `DNS=<name>` or `URI=<uri>` each; absent, every certificate of the authorities is let in. */
  readonly clientSubjects?: readonly string[];
}

const SUBJECT = /^(CN|DNS|URI)=\S(.*\S)?$/;

/** Undefined where there is no TLS. */
export function tlsSettings(read: EnvironmentReader): TlsSettings | undefined {
  const [certFile, keyFile] = [read.text('TLS_CERT_FILE'), read.text('TLS_KEY_FILE')];
  const clientCaFile = read.text('TLS_CLIENT_CA_FILE');
  const clientSubjects = subjectsIn(read);
  requireTogether(read, 'TLS_KEY_FILE', 'TLS_CERT_FILE');
  requireTogether(read, 'TLS_CERT_FILE', 'TLS_KEY_FILE');
  requireTogether(read, 'TLS_CLIENT_CA_FILE', 'TLS_CERT_FILE');
  requireTogether(read, 'TLS_CLIENT_SUBJECTS', 'TLS_CLIENT_CA_FILE');
  if (certFile === undefined || keyFile === undefined) return undefined;
  const files = { certFile, keyFile, ...(clientCaFile !== undefined && { clientCaFile }) };
  try {
    tlsMaterialFrom(files, tlsPaths(files).map(readFile));
  } catch (error: unknown) {
    read.problem('TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE:', (error as Error).message);
  }
  return { ...files, ...(clientSubjects !== undefined && { clientSubjects }) };
}

function subjectsIn(read: EnvironmentReader): readonly string[] | undefined {
  const subjects = read
    .text('TLS_CLIENT_SUBJECTS')
    ?.split(',')
    .map((subject) => subject.trim());
  if (subjects?.every((subject) => SUBJECT.test(subject)) === false) {
    read.problem('TLS_CLIENT_SUBJECTS', 'must list subjects as CN=…, DNS=… or URI=…, separated by commas');
  }
  return subjects;
}

function requireTogether(read: EnvironmentReader, name: SettingName, other: SettingName): void {
  if (read.text(name) !== undefined && read.text(other) === undefined) {
    read.problem(other, `must be set when ${name} is`);
  }
}
