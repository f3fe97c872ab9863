import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const pages = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  'client/README.md',
  ...['docs', 'helm', 'examples'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
  ),
];

/** The anchors that GitHub makes of the headings of a page: letters of every alphabet stay, and a second heading of one text gets a number. */
function anchorsOf(markdown: string): readonly string[] {
  const headings = [...withoutBlocks(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
  return headings.map((anchor, at) => {
    const earlier = headings.slice(0, at).filter((other) => other === anchor).length;
    return earlier === 0 ? anchor : `${anchor}-${earlier}`;
  });
}

/** A comment of a command is no heading, and an index in code no link. */
function withoutBlocks(markdown: string): string {
  return markdown.replace(/^ *```[^]*?^ *```$/gm, '');
}

describe('the documents', () => {
  it.each(pages)('%s links to what exists', (page) => {
    const text = withoutBlocks(readFileSync(join(ROOT, page), 'utf8'));
    const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, link = '']) => link);
    const broken = links.filter(
      (link) => !link.includes('://') && !existsSync(join(ROOT, dirname(page), link)),
    );
    expect(broken).toEqual([]);
  });

  it.each(pages)('%s links to headings that exist', (page) => {
    const text = withoutBlocks(readFileSync(join(ROOT, page), 'utf8'));
    const links = [...text.matchAll(/\]\(([^):#]*)#([^)]+)\)/g)];
    const broken = links.filter(([, file = '', anchor = '']) => {
      const target = file === '' ? join(ROOT, page) : join(ROOT, dirname(page), file);
      return !anchorsOf(readFileSync(target, 'utf8')).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it.each(pages)('%s names only source files that exist', (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8');
    const named = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)+\.(?:ts|mjs))`/g)].map(([, file = '']) => file);
    const missing = named.filter((file) => !['src', ''].some((dir) => existsSync(join(ROOT, dir, file))));
    expect(missing).toEqual([]);
  });

  it('are each in docs/README.md, once', () => {
    const index = readFileSync(join(ROOT, 'docs/README.md'), 'utf8');
    const listed = [...index.matchAll(/\]\(([^):#]+)(?:#[^)]*)?\)/g)].map(([, link = '']) =>
      join('docs', link),
    );
    // A folder stands for what is in it, and an original for its translation, to which it links.
    const toList = pages.filter((page) => !/^docs\/(decisions\/|README\.md$)|\.zh-CN\.md$/.test(page));
    expect([...listed].sort()).toEqual([...toList, 'docs/decisions'].sort());
  });

  it('name only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const named = pages.flatMap((page) =>
      [...readFileSync(join(ROOT, page), 'utf8').matchAll(/npm run ([a-z:-]+)/g)].map(
        ([, name = '']) => name,
      ),
    );
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});
