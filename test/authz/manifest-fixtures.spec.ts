import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { grantKey } from '../../src/authz/grant';
import { parseManifest } from '../../src/authz/manifest';
import { PUBLISHED_MANIFESTS, PUBLISHED_MANIFESTS_FOLDER as FOLDER } from '../support/published-manifests';

describe('the published manifests', () => {
  it('are all in the table', () => {
    const files = readdirSync(FOLDER).map((name) => name.replace(/\.yaml$/, ''));
    expect(files.sort()).toEqual(Object.keys(PUBLISHED_MANIFESTS).sort());
  });

  it.each(Object.entries(PUBLISHED_MANIFESTS))('%s is read as it is', (name, expected) => {
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
