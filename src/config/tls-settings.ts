import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto';
import { rootCertificates, createSecureContext } from 'node:tls';
import { type EnvironmentReader, readFile, textFrom } from './environment-reader';
import type { SettingName } from './setting-definitions';

export interface AuthorityFiles {
  readonly caFile: string;
  /** NODE_EXTRA_CA_CERTS, which Node adds only to its own list. */
  readonly extraCaFile?: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Returns the files of certificate authorities that a setting names, undefined where it is not set. */
export function authorityFiles(
  read: EnvironmentReader,
  name: 'INFISICAL_CA_FILE' | 'REDIS_CA_FILE',
): AuthorityFiles | undefined {
  const caFile = read.text(name);
  if (caFile === undefined) return undefined;
  try {
    readCertificates(caFile);
  } catch (error: unknown) {
    read.problem(`${name}:`, (error as Error).message);
  }
  const extraCaFile = read.text('NODE_EXTRA_CA_CERTS');
  return { caFile, ...(extraCaFile !== undefined && { extraCaFile }) };
}

/** Reads the certificates of a PEM bundle. @throws Error with a sentence that names the path and is safe to print */
export function readCertificates(path: string): readonly string[] {
  return certificatesFrom(path, readFile(path));
}

/** Parses the certificates of a file that was read already. @throws as readCertificates */
export function certificatesFrom(path: string, bytes: Uint8Array): readonly string[] {
  const text = textFrom(bytes);
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`${path} holds no PEM certificate`);
  const isWhole = text.split('-----BEGIN CERTIFICATE-----').length === certificates.length + 1;
  if (!isWhole || !certificates.every(isCertificate)) throw new Error(`${path} holds a damaged certificate`);
  return certificates;
}

/** Returns the authorities that are trusted beside the CA file: Node's own list and NODE_EXTRA_CA_CERTS. */
export function otherAuthorities({ extraCaFile }: AuthorityFiles): readonly string[] {
  return [...rootCertificates, ...certificatesIfAny(extraCaFile)];
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

/** Ignores a file that cannot be read, as Node does, which has already warned of it, and a certificate in it that is damaged. */
function certificatesIfAny(path: string | undefined): readonly string[] {
  try {
    return path === undefined
      ? []
      : (textFrom(readFile(path)).match(CERTIFICATE) ?? []).filter(isCertificate);
  } catch {
    return [];
  }
}

export interface TlsFiles {
  /** PEM: the server's certificate first, then the intermediate ones. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of client certificates; with it every client must present one. */
  readonly clientCaFile?: string;
}

/** PEM that was validated: the key belongs to the certificate. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientAuthorities?: readonly string[];
  readonly expiresAtMs: number;
}

/** Returns the paths in the order in which `tlsMaterialFrom` takes their contents. */
export function tlsPaths({ certFile, keyFile, clientCaFile }: TlsFiles): readonly string[] {
  return clientCaFile === undefined ? [certFile, keyFile] : [certFile, keyFile, clientCaFile];
}

/** @throws Error with a sentence that names the path and is safe to print */
export function tlsMaterialFrom(files: TlsFiles, contents: readonly Uint8Array[]): TlsMaterial {
  const { certFile, keyFile, clientCaFile } = files;
  const [certBytes, keyBytes, caBytes] = contents.map((bytes) => Buffer.from(bytes));
  const certificates = certificatesFrom(certFile, certBytes ?? Buffer.alloc(0));
  const leaf = new X509Certificate(certificates[0] ?? '');
  const key = textFrom(keyBytes ?? Buffer.alloc(0));
  if (!leaf.checkPrivateKey(privateKey(keyFile, key))) {
    throw new Error(`${keyFile} does not hold the key of the certificate in ${certFile}`);
  }
  const cert = certificates.join('\n');
  requireUsable(certFile, { cert, key });
  return {
    cert,
    key,
    expiresAtMs: Date.parse(leaf.validTo),
    ...(clientCaFile !== undefined && {
      clientAuthorities: certificatesFrom(clientCaFile, caBytes ?? Buffer.alloc(0)),
    }),
  };
}

function privateKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error(`${path} holds no PEM private key that can be used without a passphrase`);
  }
}

/** Finds faults such as a key that is too small. @throws Error as tlsMaterialFrom */
function requireUsable(path: string, options: { readonly cert: string; readonly key: string }): void {
  try {
    createSecureContext(options);
  } catch {
    throw new Error(`${path} holds a certificate that cannot be used for TLS`);
  }
}

export interface TlsSettings extends TlsFiles {
  /** `CN=<name>`, `DNS=<name>` or `URI=<uri>` each; where absent, every certificate of the authorities is accepted. */
  readonly clientSubjects?: readonly string[];
}

const SUBJECT = /^(CN|DNS|URI)=\S(.*\S)?$/;

/** Returns undefined where TLS is off. */
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
