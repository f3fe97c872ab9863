import '../bootstrap/hardened-process';
import { EmbeddedStoreUnusable } from '../errors/operator-errors';
import { inspectEmbeddedStore } from '../stores/embedded/vault/vault-database';

const CUT = '--cut-torn-end';

/** The command `node dist/cli/inspect-embedded-store.js`: exit code 0 where every file is whole, 1 where one is not, 2 for wrong use. */
async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const dataDir = process.env['DATA_DIR'] ?? '';
  if (dataDir === '' || args.some((arg) => arg !== CUT)) {
    process.stderr.write(
      `DATA_DIR must name the folder of the embedded store; the only argument is ${CUT}.\n`,
    );
    process.exitCode = 2;
    return;
  }
  const { isWhole, text } = await inspectEmbeddedStore(dataDir, args.includes(CUT));
  process.stdout.write(`${text}\n`);
  if (!isWhole) process.exitCode = 1;
}

main().catch((error: unknown) => {
  const message = error instanceof EmbeddedStoreUnusable ? error.message : 'it failed unexpectedly';
  process.stderr.write(`inspect-embedded-store: ${message}\n`);
  process.exitCode = 1;
});
