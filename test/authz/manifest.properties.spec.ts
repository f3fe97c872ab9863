import fc from '../support/fast-check';
import { parse } from 'yaml';
import { grantKey } from '../../src/authz/grant';
import { type Manifest, parseManifest } from '../../src/authz/manifest';
import { parseSysData } from '../../src/authz/sys-data';
import { renderTemplate } from './render-template';

const PERMISSION_LINES = [
  'permission:',
  '  sysData:',
  '  - dataType: secret',
  '    group: secret.infisical',
  '    version: v1',
  '    ops:',
  '    - ListSecret?workspace=desk',
  '    - CreateSecret',
];
const LINES = [
  ...['options:', '- item', 'spec:', '  a: 1', '  text: |', '    some text', '  b:', '  - c', '  - d'],
  ...['metadata:', '  title: Notes', '  name: notes', '  version: 1', 'limits:', '  cpu: 1', '  memory: 2'],
  ...PERMISSION_LINES,
  ...['envs:', '- one', '- two', 'tail:', '  e: 1', '  f: 2', 'last: true'],
];
const OTHER_LINES = [
  '',
  '# comment',
  '  # comment',
  '---',
  '...',
  '  more: 1',
  'more: 1',
  '    - All',
  '    deeper',
  '-evil',
  '  - x',
  '"',
  "'",
  'a: "',
  '[',
  '\t',
  '    version: v2',
  'permission: {}',
  '  sysData: []',
  '<<: *a',
  'a: &a',
  '? permission',
  'a: |',
  'a: >-',
  '  name: mail',
  '\u2028',
  // White space to JavaScript, content to YAML.
  ...['\u00a0', '\ufeff', '\u2003', '\u3000'].flatMap((space) => [space, `  ${space}# comment`]),
  '}',
  'a: {',
  '    - DeleteSecret?workspace=desk',
];
const DIRECTIVES = [
  '{{ if .a }}',
  '{{- if .b }}',
  '{{ if .b -}}',
  '{{- if .a -}}',
  '{{ else }}',
  '{{- else }}',
  '{{ else -}}',
  '{{ end }}',
  '{{- end }}',
  '{{ end -}}',
  '{{- end -}}',
  '{{ "x" }}',
  '{{- "x" }}',
  '{{ "x" -}}',
  '{{ "" }}',
  '{{ "\\n" }}',
  '{{- "\\n  more: 2\\n" }}',
  '{{ "    - DeleteSecret" }}',
  '{{/* c */}}',
  '{{- /* c */}}',
  '{{/* c */ -}}',
  '{{ $x := 1 }}',
  '{{- $x := 1 }}',
];

const grantsOf = ({ grants }: Pick<Manifest, 'grants'>): string[] =>
  grants.map(({ operation, workspace }) => grantKey(operation, workspace)).sort();

/** A whole manifest with some lines or pieces put in, at most places of which it stays a manifest. */
const tampered = fc
  .array(
    fc.record({
      at: fc.nat(LINES.length),
      until: fc.nat(LINES.length),
      how: fc.constantFrom('line', 'line', 'line', 'suffix', 'prefix', 'around', 'around', 'alternative'),
      piece: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...DIRECTIVES) },
        fc.constantFrom(...OTHER_LINES),
      ),
      trims: fc.constantFrom(['{{ ', ' }}'], ['{{- ', ' }}'], ['{{ ', ' -}}'], ['{{- ', ' -}}']),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((changes) => {
    const lines: string[] = [...LINES];
    for (const { at, until, how, piece, trims } of changes) {
      const [from, to] = at < until ? [at, until] : [until, at];
      const directive = (body: string) => `${trims[0]}${body}${trims[1]}`;
      if (how === 'line') lines.splice(at, 0, piece);
      else if (how === 'suffix') lines[from] = `${lines[from] ?? ''}${piece}`;
      else if (how === 'prefix') lines[from] = `${piece}${lines[from] ?? ''}`;
      else {
        lines.splice(to, 0, directive('end'));
        if (how === 'alternative')
          lines.splice(to, 0, directive('else'), piece.startsWith('{{') ? 'more: 1' : piece);
        lines.splice(from, 0, directive('if .a'));
      }
    }
    return `${lines.join('\n')}\n`;
  });

/** The grants of a rendered manifest, read by the plainest means; undefined where it is no manifest at all. */
function grantsOfRendered(text: string): string[] | undefined {
  let manifest: { metadata?: { name?: unknown }; permission?: { sysData?: unknown } } | null;
  try {
    manifest = parse(text, { schema: 'core', logLevel: 'error' }) as typeof manifest;
  } catch {
    return undefined;
  }
  const name = manifest?.metadata?.name;
  if (typeof name !== 'string') return undefined;
  const read = parseSysData(manifest?.permission?.sysData, name);
  return 'refused' in read ? undefined : grantsOf(read);
}

describe('whatever a manifest holds', () => {
  it('parsing it ends with an answer', () => {
    const line = fc.oneof(
      fc.constantFrom(...LINES, ...OTHER_LINES, ...DIRECTIVES),
      fc.string({ unit: 'binary' }),
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(line).map((lines) => lines.join('\n')),
    );
    fc.assert(
      fc.property(text, (source) => {
        const parsed = parseManifest(source);
        if ('refused' in parsed) expect(parsed.line).toBeGreaterThan(0);
        else expect(parsed.app).not.toBe('');
      }),
      { numRuns: 2000 },
    );
  });

  it('a grant is stated word for word as an item of a list', () => {
    const line = fc.constantFrom(...LINES, ...LINES, ...OTHER_LINES);
    const shuffled = fc.array(line, { maxLength: 30 }).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(fc.oneof(shuffled, tampered), (source) => {
        const parsed = parseManifest(source);
        if ('refused' in parsed) return;
        for (const { operation, workspace } of parsed.grants) {
          const items = [
            `- ${grantKey(operation, workspace)}`,
            ...(workspace === parsed.app ? [`- ${operation}`] : []),
          ];
          // What YAML takes for a comment is none of the item.
          const stated = source.split('\n').map((text) => text.replace(/\s#.*$/, '').trim());
          expect(stated.some((text) => items.includes(text))).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('a templated manifest that is taken says the same in every rendering', () => {
    let taken = 0;
    let rendered = 0;
    fc.assert(
      fc.property(tampered, (source) => {
        const parsed = parseManifest(source);
        if ('refused' in parsed || !source.includes('{{')) return;
        taken += 1;
        for (const a of [false, true]) {
          for (const b of [false, true]) {
            const text = renderTemplate(source, { a, b });
            const grants = text === undefined ? undefined : grantsOfRendered(text);
            if (grants === undefined) continue;
            rendered += 1;
            expect({ source, text, grants }).toEqual({ source, text, grants: grantsOf(parsed) });
          }
        }
      }),
      { numRuns: 2000 },
    );
    // Else it would prove nothing.
    expect(taken).toBeGreaterThan(100);
    expect(rendered).toBeGreaterThan(200);
  });
});
