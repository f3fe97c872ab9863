import { randomBytes, type KeyObject } from 'node:crypto';
import { lengthPrefixed } from './length-prefixed';
import type { WorkspaceOfUser } from './record-keys';
import { NotAuthentic, seal, unseal } from './seal';
import { FORMAT_VERSION } from './vault-meta';
import { intoKey } from './wrapped-key';

const KEY_BYTES = 32;

/** A workspace's data key, and whose workspace it is: its record key is a hash that nobody can turn back. */
export interface WorkspaceRecord {
  readonly key: KeyObject;
  readonly names: WorkspaceOfUser;
}

export interface SealedWorkspaceRecord {
  readonly key: KeyObject;
  readonly sealed: Buffer;
}

/** Makes a random data key. Sealed: key (32 bytes) | length of user | user | length of workspace | workspace. */
export function makeWorkspaceRecord(
  wrappingKey: KeyObject,
  workspaceKey: Uint8Array,
  { user, workspace }: WorkspaceOfUser,
): SealedWorkspaceRecord {
  const bytes = randomBytes(KEY_BYTES);
  const plaintext = Buffer.concat([bytes, lengthPrefixed(user, workspace)]);
  try {
    return { sealed: seal(wrappingKey, plaintext, workspaceContext(workspaceKey)), key: intoKey(bytes) };
  } finally {
    plaintext.fill(0);
  }
}

/** @throws NotAuthentic when it is damaged, of another record key or of another format version */
export function openWorkspaceRecord(
  wrappingKey: KeyObject,
  workspaceKey: Uint8Array,
  sealed: Uint8Array,
): WorkspaceRecord {
  const plaintext = unseal(wrappingKey, sealed, workspaceContext(workspaceKey));
  try {
    const [user, workspace] = textsIn(plaintext.subarray(KEY_BYTES));
    if (user === undefined || workspace === undefined) throw new NotAuthentic();
    return { key: intoKey(plaintext.subarray(0, KEY_BYTES)), names: { user, workspace } };
  } finally {
    plaintext.fill(0);
  }
}

/** Binds the record to its place: the record key is the keyed hash of user and workspace. */
export function workspaceContext(workspaceKey: Uint8Array): Buffer {
  return lengthPrefixed('workspace', `v${FORMAT_VERSION}`, workspaceKey);
}

function textsIn(bytes: Buffer): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}
