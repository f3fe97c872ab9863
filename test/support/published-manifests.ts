import { join } from 'node:path';

export const PUBLISHED_MANIFESTS_FOLDER = join(__dirname, '../fixtures/manifests');

/** What every published manifest here states, found by looking at the file. */
export const PUBLISHED_MANIFESTS: Readonly<
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
