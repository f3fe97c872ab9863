/** An app as it is installed for one user. (user, app) is unique, and so is appKey. */
export interface InstalledApp {
  readonly app: string;
  readonly user: string;
  /** `OS_APP_KEY` in the app's environment. */
  readonly appKey: string;
  /** `OS_APP_SECRET`; held to verify token requests, never written anywhere. */
  readonly appSecret: string;
  /** Compiled: grantKey() of every grant, so that a decision is one look-up however many are installed. */
  readonly grants: ReadonlySet<string>;
}
