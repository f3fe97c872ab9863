import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { AccessTokens } from '../../src/authn/tokens';
import { fixed, type Reloadable, type Version, WatchedFiles } from '../../src/reloadable/reloadable';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { ACCESS_TOKEN_KEY, accessToken } from '../support/tokens';

const OPS = ['RetrieveSecret?workspace=desk', 'ListSecret?workspace=desk'];
const NEW_KEY = Buffer.from('n'.repeat(64));

describe('an access token', () => {
  let clock: FixedClock;
  let tokens: AccessTokens;
  beforeEach(() => {
    clock = new FixedClock();
    clock.advance(999);
    tokens = new AccessTokens(fixed(ACCESS_TOKEN_KEY), clock);
  });

  it('names issuer, audience, app, user and operations, and is good for five minutes', async () => {
    const issuedAtS = Math.floor(clock.nowMs() / 1000);
    const { token, expiresAtMs } = await tokens.issue('notes', 'alice', OPS);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'JWT' });
    expect(decodeJwt(token)).toEqual({
      iss: 'olares-secret-provider',
      aud: 'secret.infisical/v1',
      sub: 'notes',
      user: 'alice',
      ops: OPS,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      iat: issuedAtS,
      exp: issuedAtS + 300,
    });
    expect(expiresAtMs).toBe((issuedAtS + 300) * 1000);
    clock.advance(expiresAtMs - clock.nowMs() - 1);
    expect(await tokens.verify(token)).toEqual({ app: 'notes', user: 'alice', operations: new Set(OPS) });
    clock.advance(1);
    expect(await outcome(tokens.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('differs from every other one', async () => {
    const [one, another] = [
      await tokens.issue('notes', 'alice', OPS),
      await tokens.issue('notes', 'alice', OPS),
    ];
    expect(one.token).not.toBe(another.token);
  });

  const signed = (claims: Readonly<Record<string, unknown>>, algorithm = 'HS256') =>
    new SignJWT({ iss: 'olares-secret-provider', aud: 'secret.infisical/v1', sub: 'notes', user: 'alice', ops: OPS, exp: clock.nowMs() / 1000 + 60, ...claims })
      .setProtectedHeader({ alg: algorithm })
      .sign(ACCESS_TOKEN_KEY); // prettier-ignore

  it('needs no more than what says whose it is and until when', async () => {
    await expect(tokens.verify(await signed({}))).resolves.toMatchObject({ app: 'notes' });
  });

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['another issuer', { iss: 'lldap' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'secret.infisical/v2' }],
    ['no audience', { aud: undefined }],
    ['no app', { sub: undefined }],
    ['an app that is no text', { sub: 7 }],
    ['no user', { user: undefined }],
    ['a user that is no text', { user: 7 }],
    ['no operations', { ops: undefined }],
    ['operations that are no list', { ops: OPS[0] }],
    ['an operation that is no text', { ops: [OPS[0], 7] }],
    ['no end', { exp: undefined }],
  ])('is refused with %s', async (_title, claims) => {
    expect(await outcome(tokens.verify(await signed(claims)))).toBe('UNAUTHENTICATED');
  });

  it.each(['HS384', 'HS512'])('is refused with the algorithm %s, be the key right', async (algorithm) => {
    expect(await outcome(tokens.verify(await signed({}, algorithm)))).toBe('UNAUTHENTICATED');
  });

  it('is signed with a new key only once every replica has it, two minutes later', async () => {
    tokens = new AccessTokens(replaced(ACCESS_TOKEN_KEY, NEW_KEY, clock), clock);
    const isSignedWith = async (key: Uint8Array) => {
      const { token } = await tokens.issue('notes', 'alice', OPS);
      return (await outcome(new AccessTokens(fixed(key), clock).verify(token))) === 'done';
    };
    clock.advance(119_999);
    expect([await isSignedWith(ACCESS_TOKEN_KEY), await isSignedWith(NEW_KEY)]).toEqual([true, false]);
    clock.advance(1);
    expect([await isSignedWith(ACCESS_TOKEN_KEY), await isSignedWith(NEW_KEY)]).toEqual([false, true]);
  });

  it('is signed with the oldest key where no key is old enough', async () => {
    const versions = [
      { value: NEW_KEY, ageMs: () => 0 },
      { value: NEW_KEY, ageMs: () => 0 },
      { value: ACCESS_TOKEN_KEY, ageMs: () => 0 },
    ];
    const { token } = await new AccessTokens({ ...fixed(NEW_KEY), versions }, clock).issue(
      'notes',
      'alice',
      OPS,
    );
    expect(await outcome(tokens.verify(token))).toBe('done');
  });

  it('verifies with a replaced key for as long as a replica may have signed with it and the token lives', async () => {
    tokens = new AccessTokens(replaced(ACCESS_TOKEN_KEY, NEW_KEY, clock), clock);
    const old = () => accessToken('notes', 'alice', OPS, clock.nowMs());
    clock.advance(2 * 120_000 + 300_000 - 1);
    expect(await outcome(tokens.verify(await old()))).toBe('done');
    clock.advance(1);
    expect(await outcome(tokens.verify(await old()))).toBe('UNAUTHENTICATED');
  });

  it('is signed and verified with the keys that every replica has, although the clock was put back after a change', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'key-')), 'key');
    writeFileSync(path, ACCESS_TOKEN_KEY);
    const time = new FixedMonotonicTime();
    const files = new WatchedFiles(clock, time, () => undefined);
    const parse = (bytes: Uint8Array): Uint8Array => Buffer.from(bytes);
    tokens = new AccessTokens(
      files.followFile('ACCESS_TOKEN_KEY', path, parse, Buffer.from(ACCESS_TOKEN_KEY)),
      clock,
    );
    const pass = (ms: number): void => {
      time.advance(ms);
      clock.advance(ms);
    };
    writeFileSync(path, NEW_KEY);
    for (let look = 0; look < 2; look += 1) pass(1_000);
    clock.advance(-3_600_000);
    pass(120_000);
    const { token } = await tokens.issue('notes', 'alice', OPS);
    expect(await outcome(new AccessTokens(fixed(NEW_KEY), clock).verify(token))).toBe('done');
    const old = () => accessToken('notes', 'alice', OPS, clock.nowMs());
    expect(await outcome(tokens.verify(await old()))).toBe('done');
    pass(120_000 + 300_000);
    expect(await outcome(tokens.verify(await old()))).toBe('UNAUTHENTICATED');
    files.close();
    rmSync(dirname(path), { recursive: true });
  });
});

function replaced(old: Uint8Array, by: Uint8Array, clock: FixedClock): Reloadable<Uint8Array> {
  const sinceMs = clock.nowMs();
  const versions: readonly Version<Uint8Array>[] = [
    { value: by, ageMs: () => clock.nowMs() - sinceMs },
    { value: old, ageMs: () => Infinity },
  ];
  return { ...fixed(by), versions };
}
