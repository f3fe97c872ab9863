import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const SUFFIX = '.zh-CN.md';

const translations = ['.', 'docs'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => join(folder, name)),
);

/** The part of a page from one heading to the next; what no translation changes is listed. */
interface Section {
  readonly heading: string;
  readonly level: number;
  /** With their languages. */
  readonly blocks: readonly string[];
  readonly links: readonly string[];
  /** Within sentences; sorted, for another language has another order of words. */
  readonly code: readonly string[];
  /** The number of cells in each row. */
  readonly rows: readonly number[];
  /** What a test reads of them. */
  readonly comments: readonly string[];
  /** Twelve hexadecimal digits that change with the text. */
  readonly digest: string;
  /** In a translation: the digest of the original when it was translated. */
  readonly translated: string | undefined;
}

const HEADING = /^(#+) (.+)$/;
const STAMP = /^<!-- translated: (\w+) -->$/;

function sectionsOf(page: string): readonly Section[] {
  const parts: { heading: string; level: number; lines: string[] }[] = [];
  let isBlock = false;
  for (const line of readFileSync(join(ROOT, page), 'utf8').split('\n')) {
    const [, hashes = '', heading = ''] = (isBlock ? null : HEADING.exec(line)) ?? [];
    if (hashes !== '') parts.push({ heading, level: hashes.length, lines: [] });
    else parts.at(-1)?.lines.push(line);
    if (/^ *```/.test(line)) isBlock = !isBlock;
  }
  return parts.map(({ heading, level, lines }) => {
    const text = lines.join('\n').trim();
    const prose = text.replace(/^ *```[^]*?^ *```$/gm, '');
    const found = (pattern: RegExp): readonly string[] => [...prose.matchAll(pattern)].map(([, one = '']) => one); // prettier-ignore
    const stamps = lines.map((line) => STAMP.exec(line)?.[1]).filter((stamp) => stamp !== undefined);
    return {
      heading,
      level,
      blocks: text.match(/^ *```[^]*?^ *```$/gm) ?? [],
      links: found(/\]\(([^)]+)\)/g),
      code: [...found(/`([^`]+)`/g)].map((one) => one.replace(/\s+/g, ' ')).sort(),
      rows: found(/^(\|.*\|)$/gm).map((row) => row.replace(/`[^`]*`|\\\|/g, '').split('|').length - 2),
      comments: found(/^<!-- (terminal.*) -->$/gm),
      digest: createHash('sha256').update(`${heading}\n${text}`).digest('hex').slice(0, 12),
      translated: stamps[0],
    };
  });
}

/** Returns a link as it must stand in the translation: to the translation of a page, where there is one, and to its heading. */
function translatedLink(link: string, original: string): string {
  const [file = '', anchor] = link.split('#');
  if (link.includes('://')) return link;
  const target = relative(ROOT, resolve(ROOT, dirname(original), file === '' ? '' : file));
  const page = file === '' ? original : target;
  const [from, to] = file.endsWith(SUFFIX) ? [SUFFIX, '.md'] : ['.md', SUFFIX];
  const isTranslated = existsSync(join(ROOT, page.replace(from, to))) && page.endsWith('.md');
  if (!isTranslated) return link;
  const at = sectionsOf(page).findIndex(({ heading }) => anchorOf(heading) === anchor);
  const heading = sectionsOf(page.replace(from, to))[at]?.heading;
  return `${file.replace(from, to)}${heading === undefined ? '' : `#${anchorOf(heading)}`}`;
}

/** As test/docs/links.spec.ts checks it. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{M}\p{N}_\- ]/gu, '').replaceAll(' ', '-'); // prettier-ignore
}

describe('the translations', () => {
  it('are of README.md and the tutorial', () => {
    expect(translations).toEqual([`README${SUFFIX}`, `docs/tutorial${SUFFIX}`]);
  });

  describe.each(translations)('%s', (translation) => {
    const original = translation.replace(SUFFIX, '.md');
    const [there, here] = [sectionsOf(original), sectionsOf(translation)];

    it('has the headings, code, links and tables of its original', () => {
      expect(here.map(({ level }) => level)).toEqual(there.map(({ level }) => level));
      for (const [
        at,
        { heading: _heading, digest: _digest, translated: _none, links, ...same },
      ] of there.entries()) {
        const expected = { ...same, links: links.map((link) => translatedLink(link, original)).sort() };
        expect({ ...here[at], links: [...(here[at]?.links ?? [])].sort() }).toMatchObject(expected);
      }
    });

    it('has each section as its original has it now', () => {
      const outdated = there.filter(({ digest }, at) => here[at]?.translated !== digest);
      expect(
        outdated.map(
          ({ heading, digest }) =>
            `"${heading}" of ${original} has changed: translate it in ${translation}, and write <!-- translated: ${digest} --> under its heading there`,
        ),
      ).toEqual([]);
    });

    it('is linked from its original, and links back, before the second heading', () => {
      const name = translation.replace(/^.*\//, '');
      expect(there[0]?.links).toContain(name);
      expect(here[0]?.links).toContain(name.replace(SUFFIX, '.md'));
    });
  });
});
