import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SecretVault } from '../../src/client/index';
import { describeWith, itWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { userToken } from '../support/tokens';
import { type Driver, go, GO_FILES, goClient, python } from './drivers';

const store = new MemorySecretStore();
let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ store, grantSource: exampleApps() });
  token = await userToken('alice', Date.now());
});
afterAll(() => service.close());

describeWith('python3-bcrypt', 'the Python client', () => {
  worksWithTheService('python', python);
});

describeWith('go', 'the Go client', () => {
  worksWithTheService('go', go);

  it('is formatted, passes go vet, and its own tests', async () => {
    const { stdout, status } = spawnSync('gofmt', ['-l', ...Object.values(GO_FILES)], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, '']);
    const { command } = goClient();
    // `go test` runs a part of vet by itself, which `go vet` has done.
    await command('vet', 'olaressecrets', 'driver');
    expect(await command('test', '-vet=off', 'olaressecrets')).toMatch(/^ok/);
  });

  it('names the same reasons as the TypeScript client', () => {
    const reasons = (file: string, form: RegExp) =>
      [...readFileSync(file, 'utf8').matchAll(form)].map(([, reason]) => reason).sort();
    const typescript = reasons(resolve(__dirname, '../../src/client/errors.ts'), /^ {2}\| '([A-Z_]+)'/gm);
    expect(typescript.length).toBeGreaterThan(20);
    expect(reasons(GO_FILES.client, /Reason += "([A-Z_]+)"/g)).toEqual(typescript);
  });
});

describeWith('go', 'clients of all three languages', () => {
  itWith(
    'python3-bcrypt',
    'lose no update of each other where they append to one secret at once',
    async () => {
      const { appKey, appSecret } = OTMOICLP;
      const vault = new SecretVault({
        url: service.url,
        workspace: 'otmoic',
        environment: 'dev',
        appKey,
        appSecret,
        userToken: token,
      });
      await vault.put('shared', '');
      const marks = (letter: string) => [1, 2, 3, 4, 5, 6].map((number) => `${letter}${number};`);
      const appended = (driver: Driver, letter: string) =>
        driver(
          marks(letter).map((suffix) => ({ method: 'append', name: 'shared', suffix })),
          environmentOf(OTMOICLP),
        );
      // All have read the same value before the first of them writes.
      let release = (): void => undefined;
      store.gate = new Promise((resolve) => (release = resolve));
      store.calls.length = 0;
      const all = Promise.all([
        appended(python, 'p'),
        appended(python, 'q'),
        appended(go, 'g'),
        appended(go, 'h'),
        ...marks('t').map((suffix) => vault.update('shared', (current) => current + suffix)),
      ]);
      await eventually(() => expect(store.calls.length).toBeGreaterThanOrEqual(10), 25_000).finally(release);
      await all;
      const written = (await vault.retrieve('shared')).match(/\w\d;/g) ?? [];
      expect(written.sort()).toEqual(['p', 'q', 'g', 'h', 't'].flatMap(marks).sort());
      await vault.delete('shared');
    },
  );
});

const environmentOf = ({ appKey, appSecret }: typeof OTMOICLP) => ({
  URL: service.url,
  VIA_SYSTEM_SERVER: '',
  WORKSPACE: 'otmoic',
  APP_KEY: appKey,
  APP_SECRET: appSecret,
  USER_TOKEN: token,
});

function worksWithTheService(prefix: string, driver: Driver): void {
  const name = `${prefix}-a`;
  const as = (app: typeof OTMOICLP, calls: readonly object[]) =>
    driver(
      calls.map((call) => ({ name, ...call })),
      environmentOf(app),
    );

  it('stores, reads, changes, lists and deletes a secret of the service', async () => {
    const outcomes = await as(OTMOICLP, [
      { method: 'create', value: '1 日本 🚀' },
      { method: 'create', value: '2' },
      { method: 'append', suffix: '+' },
      { method: 'update', value: '3' },
      { method: 'put', value: '4' },
      { method: 'list' },
      { method: 'delete' },
      { method: 'retrieve' },
      { method: 'put', value: '5' },
    ]);
    expect(outcomes).toEqual([
      { result: null },
      { error: 'SECRET_ALREADY_EXISTS' },
      { result: '1 日本 🚀+' },
      { result: null },
      { result: null },
      { result: [{ name, value: '4' }] },
      { result: null },
      { error: 'SECRET_NOT_FOUND' },
      { result: null },
    ]);
  });

  it('of an app with fewer grants is refused what that does not hold', async () => {
    expect(await as(READER, [{ method: 'getOr', fallback: '' }, { method: 'delete' }])).toEqual([
      { result: '5' },
      { error: 'NOT_GRANTED' },
    ]);
    expect(await as(OTMOICLP, [{ method: 'delete' }])).toEqual([{ result: null }]);
  });

  it('refuses a wrong secret', async () => {
    const calls = [{ method: 'retrieve' }];
    expect(await as({ ...OTMOICLP, appSecret: 'fake-wrong-secret' }, calls)).toEqual([
      { error: 'UNAUTHENTICATED' },
    ]);
  });
}
