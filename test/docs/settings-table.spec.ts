import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTING_DEFINITIONS } from '../../src/config/setting-definitions';
import type { SettingDefinition } from '../../src/config/setting-groups';

const README = join(__dirname, '../../README.md');
const SECTION = /(<!-- settings: [^>]*-->\n)[\s\S]*(<!-- \/settings -->)/;

function table(): string {
  const definitions: [string, SettingDefinition][] = Object.entries(SETTING_DEFINITIONS);
  const rows = definitions.map(([name, { description, default: value, secret }]) => {
    const shown = secret === true ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``;
    return `| ${shown} | ${value === undefined ? '' : `\`${value}\``} | ${description} |`;
  });
  return ['', '| variable | default | meaning |', '|---|---|---|', ...rows, '', ''].join('\n');
}

describe('the README', () => {
  it('shows the settings as the code has them (npm run docs renews them)', () => {
    const text = readFileSync(README, 'utf8');
    const renewed = text.replace(SECTION, (_all, begin: string, end: string) => `${begin}${table()}${end}`);
    if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(README, renewed);
    else expect(text).toBe(renewed);
    expect(renewed).toContain('INFISICAL_CLIENT_SECRET_FILE');
  });
});
