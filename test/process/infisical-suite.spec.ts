import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';

const ROOT = resolve(__dirname, '../..');
const SECRET = 'canary-client-secret';

/** `npm run test:infisical`, against a fake in this process. */
async function suite(fake: FakeInfisical, clientSecret = SECRET) {
  const jest = resolve(ROOT, 'node_modules/jest/bin/jest.js');
  const child = spawn(process.execPath, [jest, '--config', 'jest.infisical.config.js'], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'] ?? '',
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: fake.identity.clientId,
      INFISICAL_CLIENT_SECRET: clientSecret,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((ended) => child.once('close', ended));
  return { code, output };
}

describe('npm run test:infisical', () => {
  it('passes on the fake, says which dialect it met, and leaves nothing behind', async () => {
    const fake = await FakeInfisical.start({ apiVersion: 'fork', clientSecret: SECRET });
    const { code, output } = await suite(fake);
    const [left, made] = [fake.world.projects.length, fake.count('POST', '/api/v2/workspace')];
    await fake.close();
    expect([code, output.includes('gives back unchanged')]).toEqual([0, true]);
    expect(output).toMatch(
      /^test:infisical: met fork; deleted the \d{2} projects of osp-test-[0-9a-f]{10}$/m,
    );
    expect(made).toBeGreaterThan(50);
    expect(left).toBe(0);
    expect(output).not.toContain(SECRET);
  }, 120_000);

  it('fails where the server does not keep the contract, and leaves nothing behind then either', async () => {
    const fake = await FakeInfisical.start({ apiVersion: 'v3', clientSecret: SECRET });
    const denied = {
      statusCode: 403,
      error: 'PermissionDenied',
      message: 'You are not allowed to edit on secrets',
    };
    const fault = { kind: 'answer', status: 403, body: denied } as const;
    fake.fail({ method: 'PATCH', template: '/api/v3/secrets/raw/{name}', times: 9_999, fault });
    const { code, output } = await suite(fake);
    const left = fake.world.projects.length;
    await fake.close();
    expect([code, left]).toEqual([1, 0]);
    expect(output).toContain('✕ updates what exists');
    expect(output).toContain('✓ retrieves what was created');
    expect(output).not.toContain(SECRET);
  }, 120_000);
});
