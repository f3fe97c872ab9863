#!/usr/bin/env node
import '../bootstrap/hardened-process';
import { CommanderError } from 'commander';
import { UsageError } from '../errors/operator-errors';
import { endWithReader, type FailureCode, failureOf } from './console';
import { olaresSecretsProgram } from './program';

/** The command `olares-secrets`: one place says how a failure ends, with a sentence and no stack. */
async function main(): Promise<void> {
  const program = olaresSecretsProgram();
  try {
    await program.parseAsync();
  } catch (error: unknown) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version that were asked for are done; a command without its command, which commander answers with its help, is wrong use.
    if (error.exitCode === 0) return;
    if (error.code === 'commander.help') process.exitCode = 2 satisfies FailureCode;
    else throw new UsageError(sentenceOf(error));
  }
}

/** Returns commander's message as a sentence, without the value that was given to an option: it may be a secret. */
function sentenceOf({ message }: CommanderError): string {
  const [what = '', hint] = message
    .replace(/^error: /, '')
    .replace(/'(-[^'=]*)=[^']*'/g, "'$1'")
    .split('\n');
  const ended = /[.?]$/.test(what) ? what : `${what}.`;
  return [ended[0]?.toUpperCase(), ended.slice(1), hint === undefined ? '' : ` ${hint}`].join('');
}

process.stdout.on('error', endWithReader);
// What is told beside a result may be lost; the work of a command goes on.
process.stderr.on('error', () => undefined);

main().catch((error: unknown) => {
  const { exitCode, message } = failureOf(error);
  process.stderr.write(`olares-secrets: ${message}\n`);
  process.exitCode = exitCode;
});
