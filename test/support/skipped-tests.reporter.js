/**
 * Says at the end which tests were skipped and why, so that none is by accident. In CI (`CI=true`) a skipped test is a failure,
 * whoever skipped it and however.
 */
module.exports = class SkippedTestsReporter {
  #error;

  constructor({ testNamePattern = '' }) {
    // Who names the tests to run (`jest -t`) skips the others on purpose.
    this.byName = testNamePattern !== '';
  }

  onRunComplete(_contexts, { testResults }) {
    if (this.byName) return;
    const counts = new Map();
    for (const { testResults: tests } of testResults)
      for (const { ancestorTitles, title, status } of tests.filter(({ status }) => SKIPPED.has(status))) {
        const name = [...ancestorTitles, title].join(' ');
        const why = /\[skipped: (.+?)\]/.exec(name)?.[1] ?? `${status}: ${name}`;
        counts.set(why, (counts.get(why) ?? 0) + 1);
      }
    if (counts.size === 0) return;
    const lines = [...counts].map(([why, count]) => `  ${count} skipped: ${why}`);
    if (IN_CI) lines.push('In CI no test may be skipped: this run has failed.');
    process.stderr.write(`\n${lines.join('\n')}\n`);
    if (IN_CI) this.#error = new Error('tests were skipped');
  }

  getLastError() {
    return this.#error;
  }
};

const SKIPPED = new Set(['pending', 'skipped', 'disabled', 'todo']);
const IN_CI = !['', '0', 'false', undefined].includes(process.env.CI);
