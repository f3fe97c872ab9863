import type { Peer, PeerVerifier, ServiceAccountName } from '../../src/authn/peer-verifier';

/** Peers that the verifier knows, each with the ServiceAccount `trusted` or as what its name says, and of user alice. */
export interface KnownPeers {
  readonly systemServerOfAlice: string;
  readonly trustedByToken: Peer & { readonly bearer: string };
  readonly trustedByAddress: Peer;
  readonly trusted: ServiceAccountName;
  readonly eventSender: Peer;
  readonly settingsOfAlice: Peer;
  /** A ServiceAccount in a namespace of carol's, which is configured for the Settings of whoever it serves. */
  readonly settingsOfCarol: Peer;
  /** A ServiceAccount of the cluster that is configured for nothing. */
  readonly stranger: Peer;
}

export interface PeerVerifierUnderTest {
  open(): Promise<PeerVerifier>;
  /** Absent where no peer can be proven. */
  readonly known?: () => KnownPeers;
}

const NOBODY: readonly Peer[] = [
  { address: undefined, bearer: undefined },
  { address: '', bearer: '' },
  { address: '10.9.9.9', bearer: undefined },
  { address: '127.0.0.1', bearer: undefined },
  { address: 'not an address', bearer: 'not a token' },
  { address: undefined, bearer: 'a.b.c' },
];

/** The contract of PeerVerifier: nobody is proven to be anything but what is known of exactly that peer. */
export function describePeerVerifier(title: string, subject: PeerVerifierUnderTest): void {
  describe(`${title} keeps the contract of PeerVerifier`, () => {
    let verifier: PeerVerifier;
    beforeEach(async () => {
      verifier = await subject.open();
    });

    const proofsOf = async (peer: Peer, user: string) => ({
      systemServer: verifier.provesSystemServer(peer.address, user),
      trusted: await verifier.trustedServiceAccountOf(peer),
      trustedByToken: await verifier.trustedServiceAccountOf(peer, 'token'),
      trustedFor: await verifier.provesTrustedFor(peer, user),
      eventSender: await verifier.provesEventSender(peer),
      settings: await verifier.provesSettings(peer, user),
    });
    const NOTHING = {
      systemServer: false,
      trusted: undefined,
      trustedByToken: undefined,
      trustedFor: false,
      eventSender: false,
      settings: false,
    };

    it.each(NOBODY)('proves nothing of an unknown peer: %j', async (peer) => {
      for (const user of ['alice', 'bob', '']) expect(await proofsOf(peer, user)).toEqual(NOTHING);
    });

    if (subject.known === undefined) return;
    const { known } = subject;

    it("proves each user's system-server by its address, and nothing else of it", async () => {
      const peer = { address: known().systemServerOfAlice, bearer: undefined };
      expect(await proofsOf(peer, 'alice')).toEqual({ ...NOTHING, systemServer: true });
      for (const user of ['bob', 'alice-2', '']) expect(await proofsOf(peer, user)).toEqual(NOTHING);
    });

    it('proves a trusted ServiceAccount by its token, from any address', async () => {
      const { trustedByToken, trusted } = known();
      for (const address of [trustedByToken.address, '10.9.9.9', undefined]) {
        const peer = { ...trustedByToken, address };
        expect(await proofsOf(peer, 'alice')).toEqual({
          ...NOTHING,
          trusted,
          trustedByToken: trusted,
          trustedFor: true,
        });
      }
    });

    it('proves it by its address alone, unless only the token counts', async () => {
      const { trustedByAddress, trusted } = known();
      expect(await proofsOf(trustedByAddress, 'alice')).toEqual({ ...NOTHING, trusted, trustedFor: true });
    });

    it('proves the sender of events, who is nothing else', async () => {
      for (const user of ['alice', 'bob', ''])
        expect(await proofsOf(known().eventSender, user)).toEqual({ ...NOTHING, eventSender: true });
    });

    it('proves the Settings app for its own user alone', async () => {
      expect(await proofsOf(known().settingsOfAlice, 'alice')).toEqual({ ...NOTHING, settings: true });
      for (const user of ['bob', 'alice-2', ''])
        expect(await proofsOf(known().settingsOfAlice, user)).toEqual(NOTHING);
      expect(await proofsOf(known().settingsOfCarol, 'carol')).toEqual({ ...NOTHING, settings: true });
      for (const user of ['alice', 'bob', ''])
        expect(await proofsOf(known().settingsOfCarol, user)).toEqual(NOTHING);
    });

    it('proves nothing of a ServiceAccount that is configured for nothing', async () => {
      for (const user of ['alice', 'bob', ''])
        expect(await proofsOf(known().stranger, user)).toEqual(NOTHING);
    });
  });
}
