import '../bootstrap/hardened-process';
import { readKeyFile } from '../config/environment-reader';
import { EmbeddedStoreUnusable, type UnusableReason } from '../errors/operator-errors';
import { rotateMasterKey, type RotationResult } from '../stores/embedded/vault/vault';

const SENTENCES = {
  rotated: 'The master key was rotated: start the service with the new key, and make a new backup.',
  'already-rotated': 'The embedded store is already under the new master key.',
} as const satisfies Record<RotationResult, string>;

const HINTS: Partial<Record<UnusableReason, string>> = {
  IN_USE: ' Stop the service first.',
  UNWRITABLE: ' Run it again when that is mended: until then either the old or the new key opens the store.',
};

/** The command `node dist/cli/rotate-master-key.js`: one sentence, and exit code 1 when the rotation failed. */
async function main(): Promise<void> {
  const dataDir = required('DATA_DIR');
  const masterKey = readKeyFile(required('MASTER_KEY_FILE'));
  const newMasterKey = readKeyFile(required('NEW_MASTER_KEY_FILE'));
  const result = await rotateMasterKey({ dataDir, masterKey, newMasterKey });
  masterKey.fill(0);
  newMasterKey.fill(0);
  process.stdout.write(`${SENTENCES[result]}\n`);
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new Error(`${name} is not set; DATA_DIR, MASTER_KEY_FILE and NEW_MASTER_KEY_FILE are needed`);
  }
  return value;
}

main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : 'unknown failure';
  const hint = error instanceof EmbeddedStoreUnusable ? (HINTS[error.reason] ?? '') : '';
  process.stderr.write(`The rotation failed: ${message}${hint}\n`);
  process.exitCode = 1;
});
