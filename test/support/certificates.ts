import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { pki, md } from 'node-forge';

export interface KeyAndCertificate {
  readonly key: string;
  readonly cert: string;
}

interface Wanted {
  /** A DNS name, an IPv4 address or a URI; undefined for an authority. */
  readonly host?: string;
  /** Days from now; by default, a year around today. */
  readonly validDays?: readonly [from: number, to: number];
}

const DAY_MS = 86_400_000;

/** A certificate authority of its own for one test file. */
export class TestAuthority {
  readonly #own: KeyAndCertificate;

  constructor(private readonly name = 'test authority') {
    this.#own = this.#sign(newKey(), {});
  }

  get cert(): string {
    return this.#own.cert;
  }

  certificateFor(host: string, validDays?: Wanted['validDays']): KeyAndCertificate {
    return this.#sign(newKey(), { host, ...(validDays !== undefined && { validDays }) }, this.#own.key);
  }

  #sign(key: string, { host, validDays = [-1, 365] }: Wanted, signer = key): KeyAndCertificate {
    const made = pki.createCertificate();
    const publicKey = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'pem' });
    made.publicKey = pki.publicKeyFromPem(publicKey.toString());
    made.serialNumber = `01${randomBytes(8).toString('hex')}`;
    made.validity.notBefore = new Date(Date.now() + validDays[0] * DAY_MS);
    made.validity.notAfter = new Date(Date.now() + validDays[1] * DAY_MS);
    made.setSubject([{ name: 'commonName', value: host ?? this.name }]);
    made.setIssuer([{ name: 'commonName', value: this.name }]);
    const isAddress = /^[\d.]+$/.test(host ?? '');
    made.setExtensions(
      host === undefined
        ? [{ name: 'basicConstraints', cA: true, critical: true }]
        : [
            {
              name: 'subjectAltName',
              altNames: [
                isAddress ? { type: 7, ip: host } : { type: host.includes('://') ? 6 : 2, value: host },
              ],
            },
          ],
    );
    made.sign(pki.privateKeyFromPem(signer), md.sha256.create());
    return { key, cert: pki.certificateToPem(made) };
  }
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
}
