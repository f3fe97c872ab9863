import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  createSourceFile,
  forEachChild,
  isCallExpression,
  isIdentifier,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isStringLiteral,
  isTemplateExpression,
  type Expression,
  type Node,
  ScriptTarget,
} from 'typescript';

const ROOT = resolve(__dirname, '../..');
const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** The positions of an attacker that the document must treat. */
const POSITIONS = [
  'Any pod',
  'A malicious app with valid credentials',
  "A holder of a user's token",
  'A malicious user',
  'The network',
  "The store's disk",
  'Redis',
  'A compromised Infisical',
  'An operator with read access to logs',
  'The supply chain',
];
const TESTS = ['describe', 'describeWith', 'it', 'itWith'];

/** The name at the beginning of `it(…)`, `describe.each(…)(…)` and `itWith(…)(…)`. */
function calledName(expression: Expression): string {
  if (isIdentifier(expression)) return expression.text;
  if (isCallExpression(expression) || isPropertyAccessExpression(expression))
    return calledName(expression.expression);
  return '';
}

/** The titles of the tests and their groups in a file, those of `each` and of templates as they are written. */
function titlesIn(file: string): ReadonlySet<string> {
  const titles = new Set<string>();
  const source = createSourceFile(file, textOf(file), ScriptTarget.Latest);
  const visit = (node: Node): void => {
    if (isCallExpression(node) && TESTS.includes(calledName(node)))
      for (const argument of node.arguments)
        if (isStringLiteral(argument) || isNoSubstitutionTemplateLiteral(argument)) titles.add(argument.text);
        else if (isTemplateExpression(argument)) titles.add(argument.getText(source).slice(1, -1));
    forEachChild(node, visit);
  };
  visit(source);
  return titles;
}

interface Claim {
  readonly text: string;
  readonly proofs: readonly { readonly file: string; readonly title: string }[];
}

/** The rows of the tables, and whether it is said what is reached and what is not prevented, by heading. */
function sectionsOf(document: string): ReadonlyMap<string, { claims: readonly Claim[]; residual: boolean }> {
  return new Map(
    document
      .split(/^## /m)
      .slice(1)
      .map((section) => {
        const rows = section.split('\n').filter((line) => /^\| (?!claim )/.test(line));
        const claims = rows.map((row) => {
          const [text = '', , shown = ''] = row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, ''));
          const proofs = shown.split('<br>').map((proof) => {
            const [, file = '', title = ''] = /^`(test\/[\w./-]+)`: (.+)$/.exec(proof) ?? [];
            return { file, title };
          });
          return { text, proofs };
        });
        return [
          section.split('\n')[0] ?? '',
          { claims, residual: /^\*\*Reaches\*\*: \S[^]*^Not prevented:\n\n- \S/m.test(section) },
        ];
      }),
  );
}

describe('docs/security.md', () => {
  const sections = sectionsOf(textOf('docs/security.md'));
  const claims = [...sections.values()].flatMap((section) => section.claims);

  it('treats every position of an attacker, and says of each what it reaches and what is not prevented', () => {
    expect([...sections.keys()]).toEqual(POSITIONS);
    for (const [position, { claims: made, residual }] of sections)
      expect([position, made.length > 2, residual]).toEqual([position, true, true]);
  });

  it('claims nothing without a test, and names none that does not exist', () => {
    expect(claims.length).toBeGreaterThan(50);
    const titles = new Map<string, ReadonlySet<string>>();
    const missing = claims.flatMap(({ text, proofs }) =>
      proofs.flatMap(({ file, title }) => {
        if (!existsSync(join(ROOT, file)) || !/\.(spec|conformance)\.ts$/.test(file))
          return [`${text}: no file of tests ${file}`];
        const found = titles.get(file) ?? titlesIn(file);
        titles.set(file, found);
        return found.has(title) ? [] : [`${file}: ${title}`];
      }),
    );
    expect(missing).toEqual([]);
  });
});
