import { UserDirectory, UserTokenVerifier, type VerifiedToken } from '../../src/authn/tokens';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedClock } from '../support/fixed-clock';
import { fixed } from '../../src/reloadable/reloadable';
import { USER_TOKEN_SECRET, unsigned, userToken } from '../support/tokens';

describe('a user token', () => {
  const clock = new FixedClock();
  const now = clock.nowMs();
  const verifier = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock);

  it('is what LLDAP signs: HS512 without typ, a jid beyond JavaScript integers', async () => {
    const [header, payload] = (await userToken('alice', now)).split('.');
    expect(Buffer.from(header ?? '', 'base64url').toString()).toBe('{"alg":"HS512"}');
    expect(payload).toBeDefined();
    // jose writes numbers, so the big one is put into the payload's text and signed by hand.
    const { createHmac } = await import('node:crypto');
    const text = `{"exp":${now / 1000 + 60},"iat":1,"jid":18446744073709551615,"username":"alice","groups":["a"],"mfa":0}`;
    const body = `${header}.${Buffer.from(text).toString('base64url')}`;
    const signature = createHmac('sha512', USER_TOKEN_SECRET).update(body).digest('base64url');
    await expect(verifier.verify(`${body}.${signature}`)).resolves.toMatchObject({ user: 'alice' });
  });

  it.each([
    ['another key', () => userToken('alice', now, { key: Buffer.from('b'.repeat(64)) })],
    ['HS256', () => userToken('alice', now, { algorithm: 'HS256' })],
    ['HS384', () => userToken('alice', now, { algorithm: 'HS384' })],
    ['no algorithm', async () => unsigned(await userToken('alice', now))],
    ['an end in the past', () => userToken('alice', now, { expiresAtMs: now - 1000 })],
    ['no user name', () => userToken('', now)],
    ['a user name that is no text', () => userToken('alice', now, { claims: { username: ['alice'] } })],
    ['a user name of 254 characters', () => userToken('a'.repeat(254), now)],
    ['a not-before in the future', () => userToken('alice', now, { claims: { nbf: now / 1000 + 60 } })],
    ['a cut signature', async () => (await userToken('alice', now)).slice(0, -2)],
    ['a scheme before it', async () => `Bearer ${await userToken('alice', now)}`],
    ['white space', () => ' '],
  ])('is refused with %s', async (_title, make) => {
    expect(await outcome(verifier.verify(await make()))).toBe('UNAUTHENTICATED');
  });

  it('is refused without exp', async () => {
    const { SignJWT } = await import('jose');
    const endless = await new SignJWT({ username: 'alice' })
      .setProtectedHeader({ alg: 'HS512' })
      .sign(USER_TOKEN_SECRET);
    expect(await outcome(verifier.verify(endless))).toBe('UNAUTHENTICATED');
  });

  it('has the groups that are texts, and none where it states no list of them', async () => {
    const groupsOf = async (groups: unknown) =>
      (await verifier.verify(await userToken('alice', now, { claims: { groups } }))).groups;
    expect(await groupsOf(['admin', 7, 'staff'])).toEqual(['admin', 'staff']);
    for (const groups of ['admin', undefined, { 0: 'admin' }]) expect(await groupsOf(groups)).toEqual([]);
  });

  it('may name a user of 253 characters', async () => {
    const user = 'a'.repeat(253);
    await expect(verifier.verify(await userToken(user, now))).resolves.toMatchObject({ user });
  });

  it('is missing where none is sent', async () => {
    expect(await outcome(verifier.verify(undefined))).toBe('UNAUTHENTICATED');
  });

  it('is shown to the directory with its user and its end', async () => {
    const asked: unknown[] = [];
    class Directory extends UserDirectory {
      override accepts(token: VerifiedToken): Promise<boolean> {
        asked.push(token);
        return Promise.resolve(true);
      }
    }
    const token = await userToken('alice', now, { expiresAtMs: now + 5_000 });
    await new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock, new Directory()).verify(token);
    expect(asked).toEqual([{ token, user: 'alice', expiresAtMs: now + 5_000 }]);
  });
});
