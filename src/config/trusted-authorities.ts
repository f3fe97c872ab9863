import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { readTextFile } from './secret-source';

export interface AuthorityFiles {
  readonly caFile: string;
  /** NODE_EXTRA_CA_CERTS, which Node itself adds to its own list only. */
  readonly extraCaFile?: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM bundle. @throws Error with a sentence that names the path and is safe to print */
export function readCertificates(path: string): readonly string[] {
  const certificates = readTextFile(path).match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`${path} holds no PEM certificate`);
  if (!certificates.every(isCertificate)) throw new Error(`${path} holds a damaged certificate`);
  return certificates;
}

/** Node's own list, and a file that is read anew when it changes; while it is unusable, what it held last stays. */
export class TrustedAuthorities {
  readonly #others: readonly string[];
  #stamp: string;
  #all: readonly string[];

  /** @throws Error as readCertificates */
  constructor(
    private readonly files: AuthorityFiles,
    private readonly tell: (problem: string) => void,
  ) {
    this.#others = [...rootCertificates, ...certificatesIfAny(files.extraCaFile)];
    this.#stamp = stampOf(files.caFile);
    this.#all = [...this.#others, ...readCertificates(files.caFile)];
  }

  /** The same array until the file changes. */
  current(): readonly string[] {
    const stamp = stampOf(this.files.caFile);
    if (stamp === this.#stamp) return this.#all;
    this.#stamp = stamp;
    try {
      this.#all = [...this.#others, ...readCertificates(this.files.caFile)];
    } catch (error: unknown) {
      this.tell((error as Error).message);
    }
    return this.#all;
  }
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

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 'absent' : `${found.ino} ${found.size} ${found.mtimeMs}`;
}
