// npm run licences: the licence of every package that the image holds, from the lock file alone; with `-- --all` also of those that
// only build and test it. Ends with 1, and names each, where a licence is not among the allowed ones.
import { readFileSync } from 'node:fs';

/** Permissive, and compatible with Apache-2.0: they ask for their text to be kept, which each package brings along. */
const ALLOWED = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT'];
/** Of what never reaches the image: public domain, Python's own licences, and data that is to be attributed. */
const ALLOWED_TO_BUILD = [...ALLOWED, 'CC-BY-4.0', 'CC0-1.0', 'PSF-2.0', 'Python-2.0', 'Unlicense'];
/** What the lock file does not tell, since these packages state it by the field `licenses`, which npm has given up. */
const STATED = { 'busboy@1.6.0': 'MIT', 'exit@0.1.2': 'MIT', 'streamsearch@1.1.0': 'MIT' };

/** Packages that only the build needs, and of which it copies files beside the code. */
const copied = JSON.parse(readFileSync('nest-cli.json', 'utf8')).compilerOptions.assets.map(
  ({ include }) => /node_modules\/(?:@[^/]+\/)?[^/]+/.exec(include)[0],
);

/** Whether one alternative of an SPDX expression without nested parentheses has only allowed licences. */
const isAllowed = (expression, allowed) =>
  expression
    .replace(/^\((.*)\)$/, '$1')
    .split(' OR ')
    .some((alternative) => alternative.split(' AND ').every((licence) => allowed.includes(licence)));

const lock = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? 'package-lock.json';
const isAll = process.argv.includes('--all');
const rows = Object.entries(JSON.parse(readFileSync(lock, 'utf8')).packages)
  .filter(([path]) => path !== '')
  .map(([path, { name, version, license, dev, devOptional }]) => {
    const title = `${name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)}@${version}`;
    const inImage = (!dev && !devOptional) || copied.includes(path);
    return { title, licence: license ?? STATED[title] ?? 'none', inImage };
  })
  .filter(({ inImage }) => isAll || inImage);

const lines = rows.map(({ title, licence }) => `${title}\t${licence}\n`);
process.stdout.write([...new Set(lines)].sort().join(''));
const refused = rows.filter(
  ({ licence, inImage }) => !isAllowed(licence, inImage ? ALLOWED : ALLOWED_TO_BUILD),
);
for (const { title, licence, inImage } of refused)
  process.stderr.write(
    `${title} has the licence ${licence}, which is not allowed ${inImage ? 'in the image' : 'here'}.\n`,
  );
process.exit(refused.length === 0 ? 0 : 1);
