/** Why an embedded store cannot be opened: one stable word per failure, and its sentence. */
const SENTENCES = {
  WEAK_MASTER_KEY: 'The master key is shorter than 32 bytes',
  WRONG_MASTER_KEY: 'The embedded store is encrypted under another master key',
  FOREIGN: 'The folder of the embedded store holds something else',
  DAMAGED: 'The embedded store is damaged; restore a backup',
  UNSUPPORTED_VERSION: 'The embedded store has a format version that this release does not read',
  UNWRITABLE: 'The folder of the embedded store cannot be written',
  IN_USE: 'The embedded store is in use by another process',
  ABSENT: 'There is no embedded store in this folder',
} as const satisfies Record<string, string>;

export type UnusableReason = keyof typeof SENTENCES;

/**
 * The embedded store cannot be opened, and the start stops. `message` is one sentence that is safe to print:
 * it names files and system error codes, never key material, and no foreign error is its `cause`.
 */
export class EmbeddedStoreUnusable extends Error {
  constructor(
    readonly reason: UnusableReason,
    /** What was found and where: a path, a system error code. */
    detail: string,
  ) {
    super(`${SENTENCES[reason]} (${detail}).`);
    this.name = new.target.name;
  }
}
