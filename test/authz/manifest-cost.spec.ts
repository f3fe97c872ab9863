import { rmSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseAppCredentials } from '../../src/grant-sources/directory/app-folder';
import { DirectoryGrantSource } from '../../src/grant-sources/directory/directory.grant-source';
import { parseManifest } from '../../src/authz/manifest';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { ObjectLister } from '../../src/kubernetes/kube-object';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { apiOf, namespace, NAMESPACES } from '../kubernetes/informer-deps';
import { GrantsFolder } from '../grant-sources/grants-folder';

const LARGEST = 64 * 1024;
const HEAD = 'metadata:\n  name: a\n';
const OURS = '    - dataType: secret\n      group: secret.infisical\n      version: v1\n';
const BASE = `${HEAD}permission:\n  sysData:\n${OURS}      ops:\n        - ListSecret\n`;

/** As often as it fits behind what is there. */
const filled = (unit: string, before = BASE, after = ''): string =>
  before + unit.repeat(Math.floor((LARGEST - before.length - after.length) / unit.length)) + after;
const numbered = (count: number, line: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => line(at)).join('');
const stairs = (step: string): string => {
  let text = `${BASE}x:\n`;
  for (let depth = 1; text.length < LARGEST - 2 * depth; depth++) text += `${' '.repeat(depth)}${step}\n`;
  return text;
};

/** Of some ten thousand kinds of texts, those that took longest, here or before there were bounds. */
const COSTLY: Readonly<Record<string, string>> = {
  'warnings below maps of many keys': `${HEAD}permission:\n${numbered(1500, (at) => `  k${at}:\n`)}  sysData:\n${OURS}${numbered(1500, (at) => `      k${at}:\n`)}      ops:\n${numbered(990, () => '        - x\n')}`,
  'entries without ops': filled(
    '    - {dataType: secret, group: secret.infisical, version: v1}\n',
    `${HEAD}permission:\n  sysData:\n`,
  ),
  'as many ops as there may be': BASE + numbered(999, (at) => `        - ListSecret?workspace=w${at}\n`),
  'more ops than there may be': filled('        - x\n'),
  'a block of each directive': BASE + numbered(200, (at) => `k${at}:\n{{x}}\n${'  - a: [b, {c: d}]\n'.repeat(3)}`),
  'as many blocks with directives as there may be tokens': filled('  - [a, b]\n', BASE + numbered(200, (at) => `k${at}:\n{{x}}\n${'  - [a, b]\n'.repeat(4)}`)),
  'one block of many lines with a directive': filled('  a: b\n', `${BASE}k:\n{{x}}\n`),
  'many blocks behind the directives': filled('a:\n', BASE + numbered(200, (at) => `k${at}: {{x}}\n`)),
  'directives with nothing between them': `${BASE}{{if x}}\n${'{{else}}\n'.repeat(198)}{{end}}\nz: 1\n`,
  'directives with comments between them': `${BASE}{{if x}}\n${`# ${'c'.repeat(300)}\n{{else}}\n`.repeat(198)}{{end}}\nz: 1\n`,
  'directives with blanks between them': `${BASE}{{if x}}\n${`${' '.repeat(300)}\n{{else}}\n`.repeat(198)}{{end}}\nz: 1\n`,
  'comments in a row': filled('#\n'),
  'blank lines': filled(' \n'),
  'keys at the top': filled('a:\n'),
  'flow maps': filled('a: {b: c}\n'),
  'brackets that are never closed': filled('[', `${BASE}x: `),
  'brackets that were never opened': filled(']', `${BASE}x: `),
  'list after list': filled('[]', `${BASE}x: `),
  'as many brackets as there may be tokens': `${BASE}x: ${'['.repeat(9_500)}`,
  'as many faults as there may be tokens': `${BASE}x: ${'[]'.repeat(4_700)}`,
  'as many words as there may be tokens': BASE + 'a\n'.repeat(4_700),
  'words that are no keys': filled('a\n'),
  'a list on one line': filled('[],', `${BASE}x: [`, ']\n'),
  'dash behind dash': filled('- ', `${BASE}x:\n  `),
  'dashes ever deeper': stairs('- a:'),
  'keys ever deeper': stairs('a:'),
  'aliases': filled('  - *a\n', `${BASE}x: &a b\ny:\n`),
  'anchor behind anchor': filled('&a ', `${BASE}x: `),
  'tag behind tag': filled('!a ', `${BASE}x: `),
  'folds in quotes': filled(' \\\n  ', `${BASE}x: "`, '"\n'),
  'lines of a long text': filled('  a\n', `${BASE}x: a\n`),
  'one long word': filled('a', `${BASE}x: `),
}; // prettier-ignore

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Processor time, which a busy machine does not lengthen; the least of five, since the first ones compile and collections of garbage fall on some. */
function costMs(work: () => unknown): number {
  const costs = [1, 2, 3, 4, 5].map(() => {
    const beganMs = cpuMs();
    work();
    return cpuMs() - beganMs;
  });
  return Math.min(...costs);
}

describe('a file of the largest size', () => {
  it.each(Object.entries(COSTLY))('costs less than 100 ms: %s', (_, text) => {
    expect(text.length).toBeLessThanOrEqual(LARGEST);
    expect(costMs(() => parseManifest(text))).toBeLessThan(100);
  });

  it.each(Object.entries(COSTLY))('is no app.yaml that costs more: %s', (_, text) => {
    expect(costMs(() => parseAppCredentials(text.slice(0, 16 * 1024)))).toBeLessThan(100);
  });
});

describe('many files at once', () => {
  it('of a folder leave the event loop to others between two of them', async () => {
    const folder = new GrantsFolder();
    const app = { app: 'a', user: 'alice', appKey: 'k', appSecret: 's', ops: [] };
    const text = COSTLY['as many faults as there may be tokens'] ?? '';
    for (let at = 0; at < 64; at++) {
      folder.install(`app-${at}`, app);
      folder.write(`app-${at}/OlaresManifest.yaml`, text);
    }
    const oneMs = costMs(() => parseManifest(text));
    const { source, stretchesMs } = await watched(
      DirectoryGrantSource.open({ dir: folder.dir, log: () => undefined }),
    );
    await source.close();
    rmSync(folder.root, { recursive: true });
    expect(source.status().problems).toHaveLength(64);
    // One for each file. Without turns the sixteen that are read together are parsed in one stretch, so that there are four.
    expect(longerThan(oneMs / 2, stretchesMs)).toBeGreaterThan(60);
  });

  it('of the cluster do so as well', async () => {
    const server = await FakeApiServer.start();
    for (let at = 0; at < 200; at++) server.of('namespaces').put(namespace(`n-${at}`, 'alice'));
    const api = apiOf(server, new FixedMonotonicTime());
    const spend = () => {
      const untilMs = cpuMs() + 5;
      while (cpuMs() < untilMs);
    };
    const lister = new ObjectLister({ path: NAMESPACES, read: spend }, api);
    const { source, stretchesMs } = await watched(lister.list(new Map(), new AbortController().signal));
    await server.stop();
    expect(source.objects.size).toBe(200);
    // One for three namespaces or fewer. Without turns there is one.
    expect(longerThan(5, stretchesMs)).toBeGreaterThan(60);
  });
});

/** Counted and not timed: a collection of garbage makes a stretch as long as it likes, but none of two. */
const longerThan = (ms: number, stretchesMs: readonly number[]): number =>
  stretchesMs.filter((stretchMs) => stretchMs > ms).length;

/** Returns the stretches, in processor time, in which nobody else got the event loop. */
async function watched<T>(
  work: Promise<T>,
): Promise<{ readonly source: T; readonly stretchesMs: readonly number[] }> {
  const stretchesMs: number[] = [];
  let [done, lastMs] = [false, cpuMs()];
  const watch = async () => {
    while (!done) {
      await setImmediate();
      const nowMs = cpuMs();
      stretchesMs.push(nowMs - lastMs);
      lastMs = nowMs;
    }
  };
  const watching = watch();
  const source = await work;
  done = true;
  await watching;
  return { source, stretchesMs };
}
