import { PeerProof } from './peer-proof';

/** Outside a cluster nobody is a proven system-server. */
export class NoPeerProof extends PeerProof {
  provesSystemServer(): boolean {
    return false;
  }

  serviceAccountOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}
