import type { Clock, MonotonicTime } from '../time/clock';
import type { ServiceCredentials } from './credentials';
import type { GrantSource } from '../authz/grant-source';
import type { PeerVerifier } from '../authn/peer-verifier';
import type { ServiceAccountAuthenticator } from '../authn/service-account.authenticator';
import type { UserPresence, UserDirectory } from '../authn/user-token.verifier';
import type { RateLimits } from '../limits/rate-limits';
import type { Registration } from '../registration/registrar';
import type { SecretStore } from '../secrets/secret-store';
import type { Telemetry } from '../telemetry/telemetry';

/** What stands behind the ports: chosen once from the settings, or put in place by a test. */
export interface Adapters {
  /** For waits; the system's own where a test puts no other in place. */
  readonly time?: MonotonicTime;
  readonly clock: Clock;
  readonly store: SecretStore;
  /** Where they may change; what the settings hold otherwise. */
  readonly credentials?: ServiceCredentials;
  readonly grantSource: GrantSource;
  readonly userDirectory?: UserDirectory;
  readonly peerVerifier?: PeerVerifier;
  /** Where replicas share them; this process's own otherwise. */
  readonly rateLimits?: RateLimits;
  /** Where there is a cluster that knows its users. */
  readonly users?: UserPresence;
  /** Where there is a cluster whose pods may prove themselves. */
  readonly serviceAccounts?: ServiceAccountAuthenticator;
  /** Where somebody wants to know how we are. */
  readonly telemetry?: Telemetry;
  /** What registers us: started once we listen, and closed before requests are drained, so that an uninstall meets nobody who registers anew. */
  readonly registration?: Registration;
  /** Ends the watch of the credentials' files. */
  readonly closeCredentials?: () => void;
  /** What an operator should mend although the service is ready, one sentence each. */
  readonly problems?: () => readonly string[];
  /** Says good-bye to the other replicas; called when the store is closed. */
  readonly closeRedis?: () => Promise<void>;
  /** Ends what else watches the cluster. */
  readonly closeCluster?: () => Promise<void>;
}
