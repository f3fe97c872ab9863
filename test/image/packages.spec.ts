import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, stagesOf } from './recipe';

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly license?: string;
}

const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const { packages } = JSON.parse(textOf('package-lock.json')) as {
  readonly packages: Readonly<Record<string, Package>>;
};
const installed = Object.entries(packages).filter(([path]) => path.startsWith('node_modules/'));
const manifest = JSON.parse(textOf('package.json')) as {
  readonly allowScripts: Readonly<Record<string, boolean>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

/** `npm run licences` over a lock file that holds these packages beside our own. */
function licencesOf(more: Readonly<Record<string, Package & { readonly dev?: boolean }>>) {
  const dir = mkdtempSync(join(tmpdir(), 'licences-'));
  try {
    const lock = join(dir, 'lock.json');
    writeFileSync(lock, JSON.stringify({ packages: { ...packages, ...more } }));
    const run = spawnSync(process.execPath, [join(ROOT, 'scripts/licences.mjs'), '--all', lock], {
      encoding: 'utf8',
    });
    return { status: run.status, refused: run.stderr.split('\n').filter(Boolean), list: run.stdout };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe('the packages that this is made of', () => {
  it('are each pinned: one version, and in the lock file the hash of what the registry gave for it', () => {
    for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    const unpinned = installed.filter(
      ([, { integrity = '', resolved = 'https://registry.npmjs.org/' }]) =>
        !/^sha512-/.test(integrity) || !resolved.startsWith('https://registry.npmjs.org/'),
    );
    expect(unpinned.map(([path]) => path)).toEqual([]);
  });

  it('may run nothing when they are installed: those that want to are named, and each is denied', () => {
    const wanting = installed.flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript === true ? [path.replace(/^.*node_modules\//, '')] : [],
    );
    expect(manifest.allowScripts).toEqual(Object.fromEntries(wanting.map((name) => [name, false])));
    for (const name of wanting)
      expect(textOf('docs/image.md')).toMatch(new RegExp(`^\\| \`${name}\` \\| .+ \\|$`, 'm'));
    const installs = stagesOf().flatMap((stage) =>
      stage.flatMap(({ keyword, text }) =>
        keyword === 'RUN' ? [...text.matchAll(/npm (?:ci|install|prune)[^&;]*/g)].map(([call]) => call) : [],
      ),
    );
    expect(installs).not.toEqual([]);
    for (const call of installs) expect(call).toContain('--ignore-scripts');
  });

  it('have licences that are allowed', () => {
    const { status, refused, list } = licencesOf({});
    expect([status, refused]).toEqual([0, []]);
    for (const [name, version] of Object.entries(manifest.dependencies))
      expect(list).toMatch(new RegExp(`^${name}@${version}\t\\S`, 'm'));
  });

  it('are held to the licences of the image where the build copies their files into it', () => {
    const { refused } = licencesOf({
      'node_modules/swagger-ui-dist': { version: '1.0.0', license: 'CC-BY-4.0', dev: true },
    });
    expect(refused).toEqual([
      'swagger-ui-dist@1.0.0 has the licence CC-BY-4.0, which is not allowed in the image.',
    ]);
  });

  it('are refused with another licence, with none, and where what only builds may not be in the image', () => {
    const planted = (license: string | undefined, dev = false) => ({
      version: '1.0.0',
      ...(license !== undefined && { license }),
      dev,
    });
    const { status, refused } = licencesOf({
      'node_modules/gpl': planted('GPL-3.0-only'),
      'node_modules/sspl': planted('SSPL-1.0', true),
      'node_modules/own': planted('UNLICENSED'),
      'node_modules/both': planted('MIT AND GPL-2.0'),
      'node_modules/one': planted('(MIT OR GPL-3.0-only)'),
      'node_modules/silent': planted(undefined),
      'node_modules/data': planted('CC-BY-4.0'),
      'node_modules/data-of-a-test': planted('CC-BY-4.0', true),
    });
    expect([status, refused]).toEqual([
      1,
      [
        'gpl@1.0.0 has the licence GPL-3.0-only, which is not allowed in the image.',
        'sspl@1.0.0 has the licence SSPL-1.0, which is not allowed here.',
        'own@1.0.0 has the licence UNLICENSED, which is not allowed in the image.',
        'both@1.0.0 has the licence MIT AND GPL-2.0, which is not allowed in the image.',
        'silent@1.0.0 has the licence none, which is not allowed in the image.',
        'data@1.0.0 has the licence CC-BY-4.0, which is not allowed in the image.',
      ],
    ]);
  });
});
