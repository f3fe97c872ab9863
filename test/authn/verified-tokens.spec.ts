import {
  AccessTokens,
  USER_TOKEN_GRACE_MS,
  UserTokenVerifier,
  UserDirectory,
  type VerifiedToken,
} from '../../src/authn/tokens';
import { fixed, type Reloadable, type Version } from '../../src/reloadable/reloadable';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedClock } from '../support/fixed-clock';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const OPS = ['RetrieveSecret?workspace=desk'];

describe('a token that verified a moment ago', () => {
  let clock: FixedClock;
  let verifier: UserTokenVerifier;

  beforeEach(() => {
    clock = new FixedClock();
    verifier = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock);
  });

  it('is refused from its exp on', async () => {
    const token = await userToken('alice', clock.nowMs(), { expiresAtMs: clock.nowMs() + 5_000 });
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    clock.advance(4_999);
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    clock.advance(1);
    expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('is refused before its nbf, should the clock be put back', async () => {
    const nbf = clock.nowMs() / 1000;
    const token = await userToken('alice', clock.nowMs(), { claims: { nbf } });
    clock.advance(10_000);
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    clock.advance(-11_000);
    expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('does not make a token good that differs in its header, its claims or its signature', async () => {
    const token = await userToken('alice', clock.nowMs());
    await verifier.verify(token);
    const parts = token.split('.');
    for (const at of parts.keys()) {
      const changed = parts.map((part, index) => (index === at ? flipped(part) : part)).join('.');
      expect(await outcome(verifier.verify(changed))).toBe('UNAUTHENTICATED');
    }
    const [header = '', , signature = ''] = parts;
    const [, claims = ''] = (await userToken('bob', clock.nowMs())).split('.');
    expect(await outcome(verifier.verify(`${header}.${claims}.${signature}`))).toBe('UNAUTHENTICATED');
  });

  it('is believed for a minute and then verified again', async () => {
    const key = Buffer.from(USER_TOKEN_SECRET);
    const withOwnKey = new UserTokenVerifier(fixed(key), clock);
    const token = await userToken('alice', clock.nowMs());
    await withOwnKey.verify(token);
    key.fill('x');
    clock.advance(59_999);
    await expect(withOwnKey.verify(token)).resolves.toMatchObject({ user: 'alice' });
    clock.advance(1);
    expect(await outcome(withOwnKey.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('is refused once its key no longer counts', async () => {
    const reloadable = replaceable(USER_TOKEN_SECRET);
    verifier = new UserTokenVerifier(reloadable, clock);
    const token = await userToken('alice', clock.nowMs());
    await verifier.verify(token);
    reloadable.replace(Buffer.from('n'.repeat(64)), clock);
    clock.advance(USER_TOKEN_GRACE_MS - 1);
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    clock.advance(1);
    expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('is refused where the directory says that its user has logged out', async () => {
    let loggedIn = true;
    class Directory extends UserDirectory {
      override accepts(): Promise<boolean> {
        return Promise.resolve(loggedIn);
      }
    }
    verifier = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock, new Directory());
    const token = await userToken('alice', clock.nowMs());
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    loggedIn = false;
    expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
  });

  it('has one spelling: with white space, padding, other letters or bits that mean nothing it is refused, and the directory is not asked', async () => {
    const asked: string[] = [];
    class Directory extends UserDirectory {
      override accepts({ token }: VerifiedToken): Promise<boolean> {
        asked.push(token);
        return Promise.resolve(true);
      }
    }
    verifier = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock, new Directory());
    const token = await tokenWith(/[-_]/);
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
    const end = token.lastIndexOf('.') + 1;
    const [signed, signature] = [token.slice(0, end), token.slice(end)];
    const last = signature.slice(-1);
    const spellings = [
      `${signature}=`,
      `${signature}==`,
      `${signature} `,
      ` ${signature}`,
      `${signature.slice(0, 9)}\n\t${signature.slice(9)}`,
      `${signature.slice(0, 9)}!${signature.slice(9)}`,
      `${signature.slice(0, 9)}\u0100${signature.slice(9)}`,
      signature.replaceAll('-', '+').replaceAll('_', '/'),
      // The last of 86 characters holds two bits that count, and four that do not.
      ...[...BASE64URL].filter((one) => one !== last).map((one) => `${signature.slice(0, -1)}${one}`),
    ];
    for (const one of spellings)
      expect(await outcome(verifier.verify(`${signed}${one}`))).toBe('UNAUTHENTICATED');
    const parts = token.split('.');
    for (const at of [0, 1]) {
      const padded = parts.map((part, index) => (index === at ? `${part}=` : part)).join('.');
      expect(await outcome(verifier.verify(padded))).toBe('UNAUTHENTICATED');
    }
    expect(asked).toEqual([token]);
  });

  it('is accepted as one kind only: a user token is no access token, nor the other way round', async () => {
    const key = fixed(ACCESS_TOKEN_KEY);
    const [users, apps] = [new UserTokenVerifier(key, clock), new AccessTokens(key, clock)];
    const user = await userToken('alice', clock.nowMs(), { key: ACCESS_TOKEN_KEY });
    const app = await accessToken('notes', 'alice', OPS, clock.nowMs());
    await users.verify(user);
    await expect(apps.verify(app)).resolves.toMatchObject({ app: 'notes', user: 'alice' });
    await expect(apps.verify(app)).resolves.toMatchObject({ operations: new Set(OPS) });
    expect(await outcome(apps.verify(user))).toBe('UNAUTHENTICATED');
    expect(await outcome(users.verify(app))).toBe('UNAUTHENTICATED');
  });

  it('is accepted although it was refused before it became valid', async () => {
    const token = await userToken('alice', clock.nowMs(), { claims: { nbf: clock.nowMs() / 1000 + 1 } });
    expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
    clock.advance(1_000);
    await expect(verifier.verify(token)).resolves.toMatchObject({ user: 'alice' });
  });
});

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Returns a token of alice whose signature has the characters. */
async function tokenWith(characters: RegExp): Promise<string> {
  for (let at = 0; ; at++) {
    const token = await userToken('alice', new FixedClock().nowMs(), { claims: { at } });
    if (characters.test(token.slice(token.lastIndexOf('.')))) return token;
  }
}

/** With another character in the middle: the last one of a part may hold bits that mean nothing. */
function flipped(part: string): string {
  const middle = part.length >> 1;
  return `${part.slice(0, middle)}${part[middle] === 'A' ? 'B' : 'A'}${part.slice(middle + 1)}`;
}

function replaceable(
  first: Uint8Array,
): Reloadable<Uint8Array> & { replace(by: Uint8Array, clock: FixedClock): void } {
  const versions: Version<Uint8Array>[] = [{ value: first, ageMs: () => Infinity }];
  const current = (): Uint8Array => versions[0]?.value ?? first;
  return {
    current,
    renewed: current,
    versions,
    whenChanged: () => undefined,
    replace: (value, clock) => {
      const sinceMs = clock.nowMs();
      versions.unshift({ value, ageMs: () => clock.nowMs() - sinceMs });
    },
  };
}
