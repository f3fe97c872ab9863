import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { readFile, textFrom } from './secret-source';

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
