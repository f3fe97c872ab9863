import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

export interface ValueRow {
  /** e.g. `image.tag` */
  readonly path: string;
  /** What the comment above it says; undefined where there is none. */
  readonly meaning: string | undefined;
  /** As JSON; undefined for a group, whose values have rows of their own. */
  readonly standard: string | undefined;
}

/** The values of a chart with their comments, in the order of the file. A map whose keys bear no comment is one value. */
export function valueRows(valuesYaml: string): readonly ValueRow[] {
  const { contents } = parseDocument(valuesYaml);
  if (!isMap(contents)) throw new Error('values.yaml is no map');
  // The comment before the first key is the map's own.
  return rowsOf(contents, '', contents.commentBefore ?? undefined);
}

/** Markdown for the README. */
export function valuesTable(valuesYaml: string): string {
  const rows = valueRows(valuesYaml).map(({ path, meaning = '', standard }) =>
    standard === undefined
      ? `| **\`${path}\`** | | **${meaning}** |`
      : `| \`${path}\` | \`${standard}\` | ${meaning} |`,
  );
  return ['| value | default | meaning |', '|---|---|---|', ...rows].join('\n');
}

function rowsOf(map: YAMLMap, prefix: string, firstComment: string | undefined): readonly ValueRow[] {
  return map.items.flatMap((pair, index) => {
    const { key, value } = pair;
    if (!isScalar(key)) throw new Error(`a key of ${prefix} is no text`);
    const path = `${prefix}${String(key.value)}`;
    const meaning = sentence(commentOf(pair) ?? (index === 0 ? firstComment : undefined));
    if (!isMap(value) || !hasComments(value)) return [{ path, meaning, standard: jsonOf(value) }];
    return [
      { path, meaning, standard: undefined },
      ...rowsOf(value, `${path}.`, value.commentBefore ?? undefined),
    ];
  });
}

function hasComments(map: YAMLMap): boolean {
  return (map.commentBefore ?? '') !== '' || map.items.some((pair) => commentOf(pair) !== undefined);
}

function commentOf({ key }: Pair): string | undefined {
  return isScalar(key) ? (key.commentBefore ?? undefined) : undefined;
}

function sentence(comment: string | undefined): string | undefined {
  return comment
    ?.split('\n')
    .map((line) => line.trim())
    .join(' ')
    .replaceAll('|', '\\|');
}

function jsonOf(value: unknown): string {
  const plain: unknown = isMap(value) || hasToJson(value) ? value.toJSON() : value;
  return JSON.stringify(plain).replaceAll('|', '\\|');
}

function hasToJson(value: unknown): value is { toJSON(): unknown } {
  return typeof value === 'object' && value !== null && 'toJSON' in value;
}
