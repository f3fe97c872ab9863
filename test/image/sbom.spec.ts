import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './recipe';

interface BillOfMaterials {
  readonly bomFormat: string;
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly hashes?: readonly { readonly content: string }[];
  }[];
}

const readJson = (file: string) =>
  JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Record<string, Record<string, string>>;

describe('npm run sbom', () => {
  const sbom = JSON.parse(
    execFileSync('npm', ['run', '-s', 'sbom'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 26,
    }),
  ) as BillOfMaterials;

  it('lists in CycloneDX what the image holds, and nothing that only built it', () => {
    expect(sbom.bomFormat).toBe('CycloneDX');
    const { dependencies = {}, devDependencies = {} } = readJson('package.json');
    // A package may be there in several versions.
    const listed = new Set(sbom.components.flatMap(({ name, version }) => [name, `${name}@${version}`]));
    for (const [name, version] of Object.entries(dependencies))
      expect(listed).toContain(`${name}@${version}`);
    // Only the build needs it, which copies its files beside the code.
    expect(listed).toContain(`swagger-ui-dist@${devDependencies['swagger-ui-dist']}`);
    for (const name of ['jest', 'typescript', 'eslint', '@nestjs/cli', '@nestjs/testing']) {
      expect(devDependencies[name]).toBeDefined();
      expect([name, listed.has(name)]).toEqual([name, false]);
    }
  });

  it('lists what those need in turn, each with its hash and its address', () => {
    const express = sbom.components.find(({ name }) => name === 'express');
    expect(express?.purl).toBe(`pkg:npm/express@${express?.version}`);
    expect(sbom.components.find(({ name }) => name === '@nestjs/common')?.purl).toMatch(
      /^pkg:npm\/%40nestjs\/common@/,
    );
    for (const { name, hashes } of sbom.components)
      expect([name, hashes?.[0]?.content]).toEqual([name, expect.stringMatching(/^[0-9a-f]{128}$/)]);
  });
});
