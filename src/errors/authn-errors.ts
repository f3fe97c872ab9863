import { DomainError } from './domain-error';

/** The headers that carry a credential. */
export type CredentialHeader = 'X-Authorization' | 'X-Access-Token' | 'Authorization' | 'Cookie';

/**
 * A credential is missing or invalid. The text is the same whatever is wrong, so that nothing can be learnt by trying;
 * `credential` names the header, or the client certificate.
 */
export class Unauthenticated extends DomainError {
  constructor(credential: CredentialHeader | 'client certificate') {
    super('UNAUTHENTICATED', 'A credential is missing or was refused.', { credential });
  }
}

/** The credentials of a request belong to different users. */
export class UserMismatch extends DomainError {
  constructor() {
    super('USER_MISMATCH', 'The user token belongs to another user than the one concerned.');
  }
}

/** The user is authenticated, but the peer is not the Settings app of this user. */
export class NotSettingsApp extends DomainError {
  constructor() {
    super(
      'NOT_SETTINGS_APP',
      'These routes are for the Settings app alone: the peer has none of the ServiceAccounts that SETTINGS_SERVICE_ACCOUNTS allows for this user.',
      { setting: 'SETTINGS_SERVICE_ACCOUNTS' },
    );
  }
}

/** A browser sent the login cookie with a request that a page of another origin may have caused. */
export class CrossSiteRequest extends DomainError {
  /** @param header the header that does not show a request of the page itself */
  constructor(header: 'Sec-Fetch-Site' | 'Origin' | 'Content-Type') {
    super(
      'CROSS_SITE_REQUEST',
      'With the login cookie these routes answer only a page of their own origin, and accept only JSON.',
      { header },
    );
  }
}

export class IdentityUnavailable extends DomainError {
  /** @param who did not answer */
  constructor(who: 'LLDAP' | 'The Kubernetes API server' = 'LLDAP') {
    super('IDENTITY_UNAVAILABLE', `${who} did not answer; try again.`);
  }
}
