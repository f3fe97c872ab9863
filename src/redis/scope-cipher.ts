import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Reloadable } from '../reloadable/reloadable';

const IV_BYTES = 12;
const TAG_BYTES = 16;
const PURPOSE = 'olares-secret-provider write announcements 1';

/**
 * Encrypts scopes on their way through Redis: they name users and workspaces, which Redis must not see. A key that other
 * replicas do not have (yet, while it is replaced) is noticed, since they cannot decrypt.
 */
export class ScopeCipher {
  readonly #derived = new WeakMap<Uint8Array, Buffer>();

  /** @param key the same on every replica */
  constructor(private readonly key: Reloadable<Uint8Array>) {}

  /** Encrypts a scope. @param about is sent along in clear text, and is authenticated */
  seal(scope: string, about: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#derive(this.key.current()), iv);
    cipher.setAAD(Buffer.from(about));
    const sealed = [cipher.update(scope, 'utf8'), cipher.final()];
    return Buffer.concat([iv, ...sealed, cipher.getAuthTag()]).toString('base64url');
  }

  /** Decrypts a scope; returns undefined where none of the keys fits. */
  open(text: string, about: string): string | undefined {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
    for (const { value } of this.key.versions) {
      const scope = decrypt(bytes, about, this.#derive(value));
      if (scope !== undefined) return scope;
    }
    return undefined;
  }

  #derive(key: Uint8Array): Buffer {
    let derived = this.#derived.get(key);
    if (derived === undefined) {
      derived = Buffer.from(hkdfSync('sha256', key, '', PURPOSE, 32));
      this.#derived.set(key, derived);
    }
    return derived;
  }
}

function decrypt(bytes: Buffer, about: string, key: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES));
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}
