import { createHash } from 'node:crypto';
import { InvalidRequest } from '../../errors/request-errors';

/** Whose workspace a project stands for. */
export interface Place {
  readonly user: string;
  readonly workspace: string;
}

const PREFIX = 'osp-';
/** 32 digits of 5 bits: with the prefix, the 36 characters that a slug may have. */
const HASH_DIGITS = 32;
const MAX_DISPLAY_NAME_LENGTH = 64;

/**
 * The same for ever and for every instance. Lengths go before the names, so that no two pairs run together;
 * 160 bits of SHA-256 keep anyone from finding two that collide.
 */
export function projectSlug({ user, workspace }: Place): string {
  const material = [user, workspace].map((part) => {
    if (!part.isWellFormed()) throw new InvalidRequest('workspace', 'must be well-formed Unicode');
    return `${Buffer.byteLength(part)}:${part}`;
  });
  const hash = createHash('sha256').update(material.join('')).digest('hex');
  const digits = BigInt(`0x${hash.slice(0, (HASH_DIGITS * 5) / 4)}`).toString(32);
  return PREFIX + digits.padStart(HASH_DIGITS, '0');
}

/** For people in Infisical's page only; two projects may bear the same. */
export function projectDisplayName({ user, workspace }: Place): string {
  const readable = `${user} / ${workspace}`.replace(/\p{C}/gu, ' ');
  return [...readable].reduce(
    (name, char) => (name.length + char.length > MAX_DISPLAY_NAME_LENGTH ? name : name + char),
    '',
  );
}
