import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditChain } from '../../src/audit/audit-chain';
import { type AuditRecord, BothAuditSinks, StdoutAuditSink } from '../../src/audit/audit-sink';
import { FileAuditSink } from '../../src/audit/file.audit-sink';
import { LogDestination } from '../../src/logging/log';
import { type AuditSinkUnderTest, describeAuditSink } from '../conformance/audit-sink.conformance';
import { FixedClock } from '../support/fixed-clock';

const root = mkdtempSync(join(tmpdir(), 'audit-sinks-'));
const readings: (() => void)[] = [];
let made = 0;
afterAll(() => {
  readings.forEach((end) => end());
  rmSync(root, { recursive: true });
});

const recordsOf = (text: string): AuditRecord[] =>
  text.split('\n').filter((line) => line.startsWith('{"audit":1,')).map((line) => JSON.parse(line)); // prettier-ignore

/** A sink on a pipe that is read as a node's log collector does; its reader can be stopped. */
function piped(): AuditSinkUnderTest {
  const fifo = join(root, `pipe-${(made += 1)}`);
  spawnSync('mkfifo', [fifo]);
  const from = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const to = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  const chunk = Buffer.alloc(65_536);
  let seen = '';
  let isStopped = false;
  const read = (): void => {
    try {
      while (!isStopped) seen += chunk.toString('utf8', 0, readSync(from, chunk));
    } catch {
      // The pipe is empty.
    }
  };
  const reading = setInterval(read, 1);
  readings.push(() => {
    clearInterval(reading);
    closeSync(to);
    closeSync(from);
  });
  const destination = new LogDestination(to);
  return {
    sink: new StdoutAuditSink(destination),
    taken: () => {
      read();
      return recordsOf(seen);
    },
    fail: () => {
      isStopped = true;
      // The short lines take what is left of the buffer.
      for (const line of ['x'.repeat(999), ''])
        for (let at = 0; at < 2_000; at += 1) destination.lines.write(`${line}\n`);
    },
    mend: async () => {
      isStopped = false;
      await destination.flush(10_000);
    },
  };
}

function filed(): AuditSinkUnderTest {
  const folder = join(root, `folder-${(made += 1)}`);
  const path = join(folder, 'audit.log');
  const options = { path, maxFileBytes: 1e9, maxFileAgeMs: 1e12, keptFiles: 0, durability: 'os' } as const;
  const deps = { clock: new FixedClock(Date.now()), log: () => undefined };
  return {
    sink: new FileAuditSink(options, new AuditChain(Buffer.alloc(32, 7)), deps),
    taken: () => (existsSync(path) ? recordsOf(readFileSync(path, 'utf8')) : []),
    fail: () => {
      renameSync(folder, `${folder}-away`);
      writeFileSync(folder, '');
    },
    mend: () => {
      rmSync(folder);
      renameSync(`${folder}-away`, folder);
    },
  };
}

describeAuditSink('StdoutAuditSink', piped);

describe.each(['file', 'standard output'] as const)('where the %s fails', (which) => {
  describeAuditSink('BothAuditSinks', () => {
    const [file, stdout] = [filed(), piped()];
    const { fail, mend } = which === 'file' ? file : stdout;
    // A record is taken where both have it: what one alone has, was refused.
    const taken = () => {
      const ids = new Set(file.taken().map(({ requestId }) => requestId));
      return stdout.taken().filter(({ requestId }) => ids.has(requestId));
    };
    return { sink: new BothAuditSinks(file.sink, stdout.sink), taken, fail, mend };
  });
});
