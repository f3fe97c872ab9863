// npm run sbom: a CycloneDX bill of materials of what the image holds, from the lock file alone.
// `npm sbom --omit dev` leaves out what a development dependency also needs (half of the packages here), and CycloneDX's
// own tool brings an optional package along that builds native code when it is installed.
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';

/** Packages that only the build needs, and of which it copies files beside the code. */
const copied = JSON.parse(readFileSync('nest-cli.json', 'utf8')).compilerOptions.assets.map(
  ({ include }) => /node_modules\/(?:@[^/]+\/)?[^/]+/.exec(include)[0],
);
const { name, version, license, packages } = {
  ...JSON.parse(readFileSync('package.json', 'utf8')),
  ...JSON.parse(readFileSync('package-lock.json', 'utf8')),
};

/** `%40scope/name`: https://github.com/package-url/purl-spec */
const purlOf = (of, at) => `pkg:npm/${of.replace(/^@/, '%40')}@${at}`;

function component([path, entry]) {
  const packageName = entry.name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const [algorithm, digest] = (entry.integrity ?? '').split('-');
  const purl = purlOf(packageName, entry.version);
  return {
    type: 'library',
    'bom-ref': path,
    name: packageName,
    version: entry.version,
    purl,
    ...(entry.license === undefined ? {} : { licenses: [{ expression: entry.license }] }),
    ...(algorithm === 'sha512'
      ? { hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] }
      : {}),
  };
}

const installed = Object.entries(packages).filter(
  ([path, entry]) => path !== '' && ((!entry.dev && !entry.devOptional) || copied.includes(path)),
);
const bom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  version: 1,
  metadata: {
    component: {
      type: 'application',
      'bom-ref': '.',
      name,
      version,
      purl: purlOf(name, version),
      licenses: [{ license: { id: license } }],
    },
  },
  components: installed.map(component),
};
process.stdout.write(`${JSON.stringify(bom, undefined, 2)}\n`);
