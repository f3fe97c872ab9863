import {
  canonicalAddress,
  maySpeakFor,
  NoPeerVerifier,
  type Peer,
  type PeerEvidence,
  type ServiceAccountName,
} from '../../src/authn/peer-verifier';
import { describePeerVerifier } from '../conformance/peer-verifier.conformance';

describePeerVerifier('the verifier outside a cluster', { open: async () => new NoPeerVerifier() });

const PEER: Peer = { address: '10.0.0.1', bearer: 'token' };

describe('the one text of an address', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:0a00:0001', '10.0.0.1'],
    ['0:0:0:0:0:ffff:c0a8:fe02', '192.168.254.2'],
    ['::ffff:10.0.0.1%eth0', '10.0.0.1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
    ['::ffff:0:10.0.0.1', '::ffff:0:a00:1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
    ['1:0:0:0:0:ffff:c0a8:fe02', '1::ffff:c0a8:fe02'],
  ])('%s is %s', (address, canonical) => {
    expect(canonicalAddress(address)).toBe(canonical);
  });

  it.each(['', 'localhost', '10.0.0', '10.0.0.256', '10.0.0.1%eth0', '%eth0', '[::1]', '::1/64', ' 10.0.0.1', '::g'])(
    'is none for %j',
    (address) => expect(canonicalAddress(address)).toBeUndefined(),
  ); // prettier-ignore
});

describe('a ServiceAccount', () => {
  it.each([
    ['user-system-alice', 'alice', true],
    ['user-space-alice', 'alice', true],
    ['user-system-alice', 'bob', false],
    ['user-space-alice', 'alice-2', false],
    ['user-system-', 'alice', false],
    ['os-framework', 'alice', true],
    ['xuser-system-bob', 'alice', true],
  ])('in namespace %s may speak for %s: %s', (namespace, user, may) => {
    expect(maySpeakFor({ namespace, name: 'proxy' }, user)).toBe(may);
  });

  it('that is trusted is proven for its own user alone, by the evidence that counts', async () => {
    class OneAccount extends NoPeerVerifier {
      override trustedServiceAccountOf(peer?: Peer, by?: PeerEvidence): Promise<never> {
        const account: ServiceAccountName = { namespace: 'user-system-alice', name: 'proxy' };
        return Promise.resolve((peer === PEER && by === 'token' ? account : undefined) as never);
      }
    }
    const verifier = new OneAccount();
    expect(await verifier.provesTrustedFor(PEER, 'alice', 'token')).toBe(true);
    expect(await verifier.provesTrustedFor(PEER, 'bob', 'token')).toBe(false);
    expect(await verifier.provesTrustedFor(PEER, 'alice')).toBe(false);
  });

  it('is none of the system’s own callers where a verifier does not say so', async () => {
    expect(await new NoPeerVerifier().staticAccountOf(PEER)).toBeUndefined();
  });
});
