import { createHash } from 'node:crypto';
import { InvalidRequest } from '../../errors/request-errors';

/** Whose workspace a project stands for. */
export interface Place {
  readonly user: string;
  readonly workspace: string;
}

const PREFIX = 'osp-';
const MAX_DISPLAY_NAME_LENGTH = 64;
/** 16 digits of 5 bits for the user and as many for the workspace: with the prefix, the 36 characters that a slug may have. */
const HASH_DIGITS = 16;

/**
 * The same for ever and for every instance (docs/decisions/0005). The first half is the user's, so that all projects
 * of a user can be found; the second half tells the user's workspaces apart.
 */
export function projectSlug({ user, workspace }: Place): string {
  return userSlugPrefix(user) + digitsOf('workspace', user, workspace);
}

/** What the slugs of exactly this user's projects begin with. */
export function userSlugPrefix(user: string): string {
  return PREFIX + digitsOf('user', user);
}

/** Lengths go before the parts, so that no two lists of parts run together. */
function digitsOf(...parts: readonly string[]): string {
  const material = parts.map((part) => {
    if (!part.isWellFormed()) throw new InvalidRequest('workspace', 'must be well-formed Unicode');
    return `${Buffer.byteLength(part)}:${part}`;
  });
  const hash = createHash('sha256').update(material.join('')).digest('hex');
  const digits = BigInt(`0x${hash.slice(0, (HASH_DIGITS * 5) / 4)}`).toString(32);
  return digits.padStart(HASH_DIGITS, '0');
}

/** For people in Infisical's page only; two projects may bear the same. */
export function projectDisplayName({ user, workspace }: Place): string {
  const readable = `${user} / ${workspace}`.replace(/\p{C}/gu, ' ');
  return [...readable].reduce(
    (name, char) => (name.length + char.length > MAX_DISPLAY_NAME_LENGTH ? name : name + char),
    '',
  );
}
