/** A metric as the text format has it. */
interface Family {
  readonly name: string;
  readonly help: string | undefined;
  readonly type: string | undefined;
  readonly series: readonly { readonly name: string; readonly labels: string }[];
}

/** Base units only, in full and in the plural, as Prometheus wants them. */
const OTHER_UNITS =
  /_(ms|us|ns|s|millis|milliseconds|microseconds|nanoseconds|minutes|hours|days|kb|kilobytes|mb|megabytes|percent|second|byte)(_|$)/;
const CAMEL_CASE = /[a-z][A-Z]/;
const TYPE_IN_NAME = /_(gauge|counter|histogram|summary)(_|$)/;
const SUFFIX_OF = { histogram: /_(bucket|sum|count)$/, summary: /_(sum|count)$/ };

/** What `promtool check metrics` would say of an exposition; [] where it is clean. */
export function lint(text: string): string[] {
  const families = familiesIn(text);
  const names = families.map(({ name }) => name);
  const twice = names.filter((name, at) => names.indexOf(name) !== at).map((name) => `${name}: stated twice`);
  const all = families.flatMap(({ series }) => series.map(({ name, labels }) => name + labels));
  const repeated = [...new Set(all.filter((one, at) => all.indexOf(one) !== at))].map(
    (one) => `${one}: repeated`,
  );
  return [...twice, ...repeated, ...families.flatMap(problemsOf)];
}

function problemsOf(family: Family): string[] {
  const { name, help, type = '', series } = family;
  const labels = series.flatMap((one) =>
    [...one.labels.matchAll(/([^{},"=]+)="/g)].map(([, label = '']) => label),
  );
  const isCounter = type === 'counter';
  const rules: readonly (readonly [boolean, string])[] = [
    [help === undefined || help.trim() === '', 'no help text'],
    [!/^(counter|gauge|histogram|summary)$/.test(type), 'no type'],
    [!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name), 'a name with other characters, or a colon'],
    [isCounter !== name.endsWith('_total'), 'counters, and they only, end with _total'],
    [OTHER_UNITS.test(name), 'a unit that is not a base unit'],
    [CAMEL_CASE.test(name) || labels.some((label) => CAMEL_CASE.test(label)), 'camelCase'],
    [TYPE_IN_NAME.test(name), 'the type in the name'],
    [type !== 'histogram' && type !== 'summary' && /_(bucket|sum|count)$/.test(name), 'a reserved suffix'],
    [type !== 'histogram' && labels.includes('le'), 'the label le'],
    [type !== 'summary' && labels.includes('quantile'), 'the label quantile'],
    [labels.some((label) => !/^[a-z][a-z0-9_]*$/.test(label)), 'a label with other characters'],
    [series.some((one) => !belongs(one.name, name, type)), 'series of another name'],
  ];
  return rules.filter(([broken]) => broken).map(([, rule]) => `${name}: ${rule}`);
}

function belongs(series: string, name: string, type: string): boolean {
  if (type === 'histogram') return series.replace(SUFFIX_OF.histogram, '') === name;
  return series === name || (type === 'summary' && series.replace(SUFFIX_OF.summary, '') === name);
}

function familiesIn(text: string): Family[] {
  const blocks = text.split(/^(?=# HELP )/m).filter((block) => block.trim() !== '');
  return blocks.map((block) => {
    const [, name = '', help] = /^# HELP (\S+) ?(.*)$/m.exec(block) ?? [];
    const type = /^# TYPE \S+ (\w+)$/m.exec(block)?.[1];
    const lines = block.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const series = lines.map((line) => {
      const [, of = '', labels = ''] = /^([^{ ]+)(\{.*\})? \S+$/.exec(line) ?? [];
      return { name: of, labels };
    });
    return { name, help, type, series };
  });
}
