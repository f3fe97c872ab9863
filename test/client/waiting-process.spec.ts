import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const CLIENT = JSON.stringify(join(__dirname, '../../client/dist/esm/index.js'));

// In a process of its own: in this one other things keep the event loop alive.
it.each([
  ['an access token', `() => new Promise(() => {})`],
  [
    'an answer',
    `(url) => url.endsWith('/access')
       ? Promise.resolve(Response.json({ code: 0, data: { access_token: 'fake-token', expired_at: '2999-01-01T00:00:00Z' } }))
       : new Promise(() => {})`,
  ],
])(
  'a process that waits for %s on a connection that was lost unseen learns so in time, and does not just end',
  (_what, fetch) => {
    const program = `
    globalThis.fetch = ${fetch};
    const { SecretVault } = await import(${CLIENT});
    const app = { url: 'http://127.0.0.1:1', workspace: 'ws', appKey: 'fake-key', appSecret: 'fake-secret' };
    const reason = await new SecretVault({ ...app, timeoutMs: 50, maxRetries: 0 }).retrieve('a').catch((error) => error.reason);
    process.stdout.write(reason);`;
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([0, 'UNREACHABLE']);
  },
);

it.each([
  [
    'while the service is away',
    `{ appKey: 'fake-key', appSecret: 'fake-secret' }`,
    'AbortSignal.timeout(300)',
  ],
  [
    'before they begin, where the file of the token cannot be read',
    `{ serviceAccountTokenFile: '/none' }`,
    'AbortSignal.abort()',
  ],
])('calls that end by their signal %s are rejected with its reason, and nothing else', (_when, app, made) => {
  const program = `
    const { SecretVault } = await import(${CLIENT});
    const vault = new SecretVault({ url: 'http://127.0.0.1:9', workspace: 'ws', ...${app} });
    const signal = ${made};
    for (const name of ['a', 'b'])
      await vault.retrieve(name, { signal }).catch((error) => { if (error !== signal.reason) throw error; });
    setTimeout(() => process.stdout.write('alive'), 4_000);`;
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  expect([status, stdout]).toEqual([0, 'alive']);
});
