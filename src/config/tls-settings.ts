import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto';
import { rootCertificates, createSecureContext } from 'node:tls';
import { readFile, textFrom } from './secret-source';
import type { EnvironmentReader } from './environment-reader';
import type { SettingName } from './setting-definitions';

export interface AuthorityFiles {
  readonly caFile: string;
  /** NODE_EXTRA_CA_CERTS, which Node itself adds to its own list only. */
  readonly extraCaFile?: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM bundle. @throws Error with a sentence that names the path and is safe to print */
export function readCertificates(path: string): readonly string[] {
  return certificatesFrom(path, readFile(path));
}

/** The same of a file that was read already. */
export function certificatesFrom(path: string, bytes: Uint8Array): readonly string[] {
  const certificates = textFrom(bytes).match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`${path} holds no PEM certificate`);
  if (!certificates.every(isCertificate)) throw new Error(`${path} holds a damaged certificate`);
  return certificates;
}

/** What is trusted beside the file of one's own: Node's own list, and what Node was told to add to it. */
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

/** As Node does, which has said so at its start: what cannot be read adds nothing. */
function certificatesIfAny(path: string | undefined): readonly string[] {
  try {
    return path === undefined ? [] : readCertificates(path);
  } catch {
    return [];
  }
}

export interface TlsFiles {
  /** PEM: the server's certificate first, then what leads to its authority. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of client certificates; with it every client must show one. */
  readonly clientCaFile?: string;
}

/** PEM, found good: the key is the certificate's. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientAuthorities?: readonly string[];
  readonly expiresAtMs: number;
}

/** In the order in which `tlsMaterialFrom` takes their contents. */
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

/** Such as too small a key is not. */
function requireUsable(path: string, options: { readonly cert: string; readonly key: string }): void {
  try {
    createSecureContext(options);
  } catch {
    throw new Error(`${path} holds a certificate that cannot be used for TLS`);
  }
}

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
