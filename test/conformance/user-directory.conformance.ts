import { UserTokenVerifier, type UserDirectory, type VerifiedToken } from '../../src/authn/tokens';
import { fixed } from '../../src/reloadable/reloadable';
import { FixedClock } from '../support/fixed-clock';
import { USER_TOKEN_SECRET, userToken } from '../support/tokens';
import { outcome } from './secret-store.conformance';

/** A directory that accepts every token which is not logged out. */
export interface UserDirectoryUnderTest {
  open(clock: FixedClock): Promise<{
    readonly directory: UserDirectory;
    readonly logOut: (token: string) => void;
    /** Makes the directory unreachable, for good. */
    readonly cutOff: () => Promise<void>;
  }>;
}

/** For so long a directory may go on accepting a token that was logged out. */
const BELIEVED_FOR_MS = 60_000;

/** The contract of UserDirectory, by itself and as UserTokenVerifier uses it. */
export function describeUserDirectory(title: string, subject: UserDirectoryUnderTest): void {
  describe(`${title} keeps the contract of UserDirectory`, () => {
    let clock: FixedClock;
    let opened: Awaited<ReturnType<UserDirectoryUnderTest['open']>>;
    beforeEach(async () => {
      clock = new FixedClock();
      opened = await subject.open(clock);
    });

    const tokenOf = async (user: string): Promise<VerifiedToken> => ({
      token: await userToken(user, clock.nowMs()),
      user,
      expiresAtMs: clock.nowMs() + 3_600_000,
    });

    it('accepts a token that was not logged out, however often it is asked', async () => {
      const token = await tokenOf('alice');
      for (let turn = 0; turn < 3; turn++) expect(await opened.directory.accepts(token)).toBe(true);
    });

    it('refuses a token that was logged out before the first question', async () => {
      const token = await tokenOf('alice');
      opened.logOut(token.token);
      expect(await opened.directory.accepts(token)).toBe(false);
    });

    it('refuses one that was logged out later after a minute, and does not accept it again', async () => {
      const token = await tokenOf('alice');
      await opened.directory.accepts(token);
      opened.logOut(token.token);
      clock.advance(BELIEVED_FOR_MS);
      for (let turn = 0; turn < 3; turn++) {
        expect(await opened.directory.accepts(token)).toBe(false);
        clock.advance(BELIEVED_FOR_MS);
      }
    });

    it('goes on accepting the tokens of others', async () => {
      const [alice, bob] = [await tokenOf('alice'), await tokenOf('bob')];
      opened.logOut(alice.token);
      expect(await Promise.all([alice, bob].map((token) => opened.directory.accepts(token)))).toEqual([
        false,
        true,
      ]);
    });

    it('accepts nobody whom it cannot ask about, and says that it is unavailable', async () => {
      const token = await tokenOf('alice');
      await opened.cutOff();
      expect(await outcome(opened.directory.accepts(token))).toBe('IDENTITY_UNAVAILABLE');
    });

    it('makes the verifier of user tokens refuse with 401 what was logged out', async () => {
      const verifier = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock, opened.directory);
      const { token } = await tokenOf('alice');
      expect(await verifier.verify(token)).toMatchObject({ user: 'alice' });
      opened.logOut(token);
      clock.advance(BELIEVED_FOR_MS);
      expect(await outcome(verifier.verify(token))).toBe('UNAUTHENTICATED');
    });
  });
}
