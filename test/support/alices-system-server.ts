import { PeerVerifier } from '../../src/authn/peer-verifier';

/** Whoever calls is alice's system-server, and nothing else. */
export class AlicesSystemServer extends PeerVerifier {
  provesSystemServer(_address: string | undefined, user: string): boolean {
    return user === 'alice';
  }

  async trustedServiceAccountOf(): Promise<undefined> {
    return undefined;
  }

  async provesEventSender(): Promise<boolean> {
    return false;
  }

  async provesSettings(): Promise<boolean> {
    return false;
  }
}
