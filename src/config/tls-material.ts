import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { textFrom } from './secret-source';
import { certificatesFrom } from './trusted-authorities';

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
