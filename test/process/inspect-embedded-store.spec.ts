import { UNATTENDED } from '../../src/secrets/secret';
import { SecretStore } from '../../src/secrets/secret-store';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ServiceProblems } from '../../src/http/controllers/health.controller';
import { openModules } from '../support/service';
import { at, freshFolder, masterKeyOf, withStore } from '../stores/embedded/vault-under-test';

const MAIN = resolve(__dirname, '../../dist/cli/inspect-embedded-store.js');

/** The built command, as an operator runs it. */
function inspect(dataDir: string | undefined, ...args: readonly string[]) {
  const env = { PATH: process.env['PATH'] ?? '', ...(dataDir !== undefined && { DATA_DIR: dataDir }) };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('inspect-embedded-store', () => {
  const folder = freshFolder();
  const vault = join(folder.path, 'vault');
  afterAll(() => folder.remove());

  it('says what is wrong by its exit code and in plain words, cuts when told to, and the service tells of it', async () => {
    await withStore(folder.path, (store) => store.create(at('alice', 'ws'), { name: 'k', value: 'v' }));
    await withStore(folder.path, (store) =>
      store.create(at('alice', 'ws'), { name: 'last', value: 'canary '.repeat(1_000) }),
    );
    expect(inspect(folder.path)).toMatchObject({
      status: 0,
      stdout: 'Every file of the embedded store is whole.\n',
    });
    const log = join(
      vault,
      readdirSync(vault)
        .filter((name) => /^\d+\.log$/.test(name))
        .sort()
        .at(-1)!,
    );
    const bytes = readFileSync(log);
    writeFileSync(log, bytes.fill('garbage', 1_000, 2_000));
    expect(inspect(folder.path)).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(
        /its last record does not match its checksum; it begins at byte 0\.[\s\S]*--cut-torn-end/,
      ),
    });
    const cut = inspect(folder.path, '--cut-torn-end');
    expect([cut.status, cut.stdout]).toEqual([0, expect.stringContaining('.log.torn now.')]);
    const store = {
      kind: 'embedded',
      dataDir: folder.path,
      masterKey: masterKeyOf('A'),
      maxDiskReserveBytes: 0,
    } as const;
    const grants = { kind: 'directory', dir: vault } as const;
    const { module, logLines } = await openModules({}, { grants, store });
    expect(await module.get(SecretStore).list(at('alice', 'ws'), UNATTENDED)).toEqual({
      secrets: [{ name: 'k', value: 'v' }],
    });
    expect(logLines().map(({ msg }) => msg)).toContain('embedded_store_tail_put_aside');
    expect(module.get(ServiceProblems).sentences()).toContainEqual(
      expect.stringMatching(/was put aside as \d+\.log\.torn/),
    );
    await module.close();
  });

  it('refuses what it does not know, and a folder that has no store', () => {
    expect(inspect(undefined)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('DATA_DIR must name'),
    });
    expect(inspect(folder.path, '--force').status).toBe(2);
    expect(inspect(join(folder.path, 'none'))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('There is no embedded store in this folder'),
    });
  });
});
