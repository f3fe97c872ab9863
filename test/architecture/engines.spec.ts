import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { minVersion, subset, validRange } from 'semver';
import { RECIPE } from '../image/recipe';

const textOf = (file: string): string => readFileSync(resolve(__dirname, '../..', file), 'utf8');

interface Lock {
  readonly packages: Readonly<Record<string, { readonly engines?: { readonly node?: string } }>>;
}

describe('the Nodes that package.json says the service runs on', () => {
  const { engines } = JSON.parse(textOf('package.json')) as { readonly engines: { readonly node: string } };
  const { packages } = JSON.parse(textOf('package-lock.json')) as Lock;

  it('are Nodes that every package takes', () => {
    const narrower = Object.entries(packages)
      .map(([path, { engines: theirs }]) => ({ path, node: theirs?.node ?? '*' }))
      .filter(({ node }) => !subset(engines.node, node));
    expect(narrower).toEqual([]);
  });

  it('are told by the README, and include the one of the image', () => {
    const lines = engines.node.split('||').map((range) => minVersion(validRange(range) ?? '')?.major);
    expect(lines).toEqual([20, 22, 24]);
    for (const [, major = ''] of RECIPE.matchAll(/=node:(\d+)-/g)) expect(lines).toContain(Number(major));
    const sentence = /^Node 24 .*$/m.exec(textOf('README.md'))?.[0] ?? '';
    for (const major of lines) expect(sentence).toContain(String(major));
  });
});
