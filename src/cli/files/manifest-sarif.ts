import { isAbsolute, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MANIFEST_RULES, type ManifestFinding, type ManifestPlace } from '../../authz/manifest-check';

/** What was found in one file; `-` is standard input. */
interface FileFindings {
  readonly file: string;
  readonly findings: readonly ManifestFinding[];
}

const RULES = Object.entries(MANIFEST_RULES);

/** Returns the findings as a log of SARIF 2.1.0 (OASIS), which code hosts show beside the lines. */
export function sarifOf(files: readonly FileFindings[], version: string): object {
  const rules = RULES.map(([id, { severity, text }]) => ({
    id,
    shortDescription: { text },
    defaultConfiguration: { level: severity },
  }));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'olares-secrets', version, rules } },
        columnKind: 'utf16CodeUnits',
        results: files.flatMap(({ file, findings }) => findings.map((one) => resultOf(uriOf(file), one))),
      },
    ],
  };
}

function resultOf(uri: string, { rule, severity, message, fix, ...place }: ManifestFinding): object {
  const artifactLocation = { uri };
  const region = regionOf(place);
  const replacement = fix !== undefined && { deletedRegion: region, insertedContent: { text: fix } };
  return {
    ruleId: rule,
    ruleIndex: RULES.findIndex(([id]) => id === rule),
    level: severity,
    message: { text: plain(message) },
    locations: [{ physicalLocation: { artifactLocation, region } }],
    ...(replacement && {
      fixes: [
        {
          description: { text: plain(`Write ${fix}.`) },
          artifactChanges: [{ artifactLocation, replacements: [replacement] }],
        },
      ],
    }),
  };
}

/** Brackets would make links of a manifest's words (SARIF 2.1.0, section 3.11.6). */
function plain(text: string): string {
  return text.replace(/[\\[\]]/g, '\\$&');
}

function regionOf({ line, column, endLine, endColumn }: ManifestPlace): object {
  return { startLine: line, startColumn: column, endLine, endColumn };
}

/** Returns a URI reference: relative to where the command was called, as the path is. */
function uriOf(file: string): string {
  if (file === '-') return 'stdin';
  if (isAbsolute(file)) return pathToFileURL(file).href;
  return file.split(sep).map(encodeURIComponent).join('/');
}
