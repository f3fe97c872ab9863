import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import jestConfig from '../../jest.config.js';

const TESTS = resolve(__dirname, '..');
const SERIAL = jestConfig.projects.find(({ displayName }) => displayName === 'serial')?.testMatch ?? [];

/** What a test reads that is another number when other tests run at the same time: a duration, processor time, memory. */
const READINGS =
  /(?:performance|Date)\.now\(\) - \w|cpuUsage\(|memoryUsage\(|resourceUsage\(|\/VmRSS|\/\^?VmHWM|eventLoopUtilization\(/;
/** The same of a clock that runs. A clock that a test moves is another matter: it has its name. */
const DURATION = /nowMs\(\) - \w/;
const MOVED_CLOCK = /Fixed(?:Clock|MonotonicTime)/;
/** For what may take up to five seconds. */
const BOUND = String.raw`(?:[1-9]\d{0,2}|[1-4]_?\d{3}|5_?000)`;
const SHORT_BOUNDS = new RegExp(
  String.raw`inForceWithinMs: ${BOUND}\b|\beventually\([^;]*,\s+${BOUND},?\s*\);`,
);

const measures = (text: string): boolean =>
  READINGS.test(text) || SHORT_BOUNDS.test(text) || (DURATION.test(text) && !MOVED_CLOCK.test(text));

function specs(): readonly string[] {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.spec.ts')).sort();
}

describe('the tests that run after the others, one at a time', () => {
  it('are all those that measure durations, processor time or memory, or allow little time', () => {
    const measuring = specs().filter((file) => measures(readFileSync(resolve(TESTS, file), 'utf8')));
    expect(measuring.length).toBeGreaterThan(20);
    const parallel = measuring
      .filter((file) => !SERIAL.includes(`<rootDir>/test/${file}`))
      .filter((file) => resolve(TESTS, file) !== __filename);
    expect(parallel).toEqual([]);
  });

  it('run in no other project', () => {
    const ignored = jestConfig.projects[0]?.testPathIgnorePatterns ?? [];
    expect(SERIAL.filter((file) => !ignored.includes(file))).toEqual([]);
  });
});
