import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { grantKey } from '../../src/authz/grant';
import { parseManifest } from '../../src/authz/manifest';

const FOLDER = join(__dirname, '../fixtures/manifests');

/** What every published manifest here states, found by looking at the file. */
const EXPECTED: Readonly<
  Record<string, { app: string; grants: string[] } | { line: number; refused: string }>
> = {
  acestep15v2: { app: 'acestep15v2', grants: [] },
  adguardhome: { app: 'adguardhome', grants: [] },
  'blinko.i18n': { line: 1, refused: 'metadata.name is missing' },
  comfyuisharev2: { line: 49, refused: 'the permission block contains a template directive' },
  cosyvoice: { app: 'cosyvoice', grants: [] },
  deerflow: { app: 'deerflow', grants: [] },
  difyfusion: { app: 'difyfusion', grants: [] },
  difyv3: { app: 'difyv3', grants: [] },
  filebrowser: { app: 'filebrowser', grants: [] },
  jaegerclient: { app: 'jaegerclient', grants: [] },
  lobechat: { app: 'lobechat', grants: [] },
  n8n: { app: 'n8n', grants: [] },
  openwebui: { app: 'openwebui', grants: [] },
  otmoiclp: {
    app: 'otmoiclp',
    grants: [
      'RetrieveSecret?workspace=otmoic',
      'CreateSecret?workspace=otmoic',
      'DeleteSecret?workspace=otmoic',
      'UpdateSecret?workspace=otmoic',
      'ListSecret?workspace=otmoic',
    ],
  },
  penpot: { line: 5, refused: "not valid YAML: Missing closing 'quote" },
  prowlarr: { app: 'prowlarr', grants: [] },
  sonarr: { app: 'sonarr', grants: [] },
  steamheadless: { app: 'steamheadless', grants: [] },
  twitter: { app: 'twitter', grants: [] },
  vaultwarden: { app: 'vaultwarden', grants: [] },
  vllmllmbasev3: { app: 'vllmllmbasev3', grants: [] },
  windows: { app: 'windows', grants: [] },
  wise: { app: 'wise', grants: [] },
  wordpresspure: { app: 'wordpresspure', grants: [] },
};

describe('the published manifests', () => {
  it('are all in the table', () => {
    const files = readdirSync(FOLDER).map((name) => name.replace(/\.yaml$/, ''));
    expect(files.sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  it.each(Object.entries(EXPECTED))('%s is read as it is', (name, expected) => {
    const parsed = parseManifest(readFileSync(join(FOLDER, `${name}.yaml`), 'utf8'));
    if ('refused' in parsed) return expect(parsed).toEqual(expected);
    const grants = parsed.grants.map(({ operation, workspace }) => grantKey(operation, workspace));
    expect({ app: parsed.app, grants }).toEqual(expected);
    expect(parsed.warnings).toEqual([]);
  });

  it('the example app is the published otmoiclp', () => {
    const example = join(__dirname, '../../examples/apps/otmoiclp/OlaresManifest.yaml');
    expect(readFileSync(example, 'utf8')).toBe(readFileSync(join(FOLDER, 'otmoiclp.yaml'), 'utf8'));
  });
});
