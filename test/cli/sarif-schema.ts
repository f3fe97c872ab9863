import Ajv from 'ajv';

const text = { type: 'string', minLength: 1 };
const index = { type: 'integer', minimum: 1 };
const object = (required: readonly string[], properties: object) => ({
  type: 'object',
  required,
  properties,
  additionalProperties: false,
});
const list = (items: object, minItems = 0) => ({ type: 'array', items, minItems });

const LEVEL = { enum: ['none', 'note', 'warning', 'error'] };
const MESSAGE = object(['text'], { text });
const ARTIFACT = object(['uri'], { uri: { type: 'string', pattern: '^(?:file:///)?[^\\s?#\\\\]+$' } });
const REGION = object(['startLine'], {
  startLine: index,
  startColumn: index,
  endLine: index,
  endColumn: index,
});

/** What sections 3.13 to 3.57 of SARIF 2.1.0 require of the objects that we write; a property that is not here we do not write. */
const LOG = object(['version', 'runs'], {
  $schema: { type: 'string', format: 'uri' },
  version: { const: '2.1.0' },
  runs: list(
    object(['tool', 'results'], {
      tool: object(['driver'], {
        driver: object(['name'], {
          name: text,
          version: text,
          rules: list(
            object(['id'], {
              id: text,
              shortDescription: MESSAGE,
              defaultConfiguration: object([], { level: LEVEL }),
            }),
          ),
        }),
      }),
      columnKind: { enum: ['utf16CodeUnits', 'unicodeCodePoints'] },
      results: list(
        object(['message'], {
          ruleId: text,
          ruleIndex: { type: 'integer', minimum: 0 },
          level: LEVEL,
          message: MESSAGE,
          locations: list(
            object(['physicalLocation'], {
              physicalLocation: object(['artifactLocation', 'region'], {
                artifactLocation: ARTIFACT,
                region: REGION,
              }),
            }),
          ),
          fixes: list(
            object(['artifactChanges'], {
              description: MESSAGE,
              artifactChanges: list(
                object(['artifactLocation', 'replacements'], {
                  artifactLocation: ARTIFACT,
                  replacements: list(
                    object(['deletedRegion'], {
                      deletedRegion: REGION,
                      insertedContent: object([], { text }),
                    }),
                    1,
                  ),
                }),
                1,
              ),
            }),
          ),
        }),
      ),
    }),
    1,
  ),
});

interface SarifRun {
  readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
  readonly results: readonly { readonly ruleId: string; readonly ruleIndex: number }[];
}

/** Returns what in a log is against SARIF 2.1.0: its structure, and that a result's ruleIndex leads to its ruleId (3.27.6). */
export function sarifFaults(log: object): readonly string[] {
  const validate = new Ajv({ allErrors: true, formats: { uri: /^https:/ } }).compile(LOG);
  if (!validate(log))
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  const { runs } = log as unknown as { readonly runs: readonly SarifRun[] };
  return runs.flatMap(({ tool, results }) =>
    results
      .filter(({ ruleId, ruleIndex }) => tool.driver.rules[ruleIndex]?.id !== ruleId)
      .map(({ ruleId }) => `the ruleIndex of ${ruleId}`),
  );
}
