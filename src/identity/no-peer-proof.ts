import { PeerProof } from './peer-proof';

/** Outside a cluster nobody is proven to be anybody. */
export class NoPeerProof extends PeerProof {
  provesSystemServer(): boolean {
    return false;
  }

  trustedServiceAccountOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  provesEventSender(): Promise<boolean> {
    return Promise.resolve(false);
  }

  provesSettings(): Promise<boolean> {
    return Promise.resolve(false);
  }
}
