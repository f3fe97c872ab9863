import { DomainError } from './domain-error';

/** The headers that carry a credential. */
export type CredentialHeader = 'X-Authorization' | 'X-Access-Token' | 'Authorization';

/**
 * One fixed text whatever was wrong with the credential, so that nothing can be learnt by trying;
 * `credential` names the header at fault, or the client certificate.
 */
export class Unauthenticated extends DomainError {
  constructor(credential: CredentialHeader | 'client certificate') {
    super('UNAUTHENTICATED', 'A credential is missing or was refused.', { credential });
  }
}

/** The user of X-Authorization is neither the app's user nor one who may act for them. */
export class UserMismatch extends DomainError {
  constructor() {
    super('USER_MISMATCH', 'The user token belongs to another user than the one concerned.');
  }
}

/** The user is known, but it is not the Settings app of this user that calls. */
export class NotSettingsApp extends DomainError {
  constructor() {
    super(
      'NOT_SETTINGS_APP',
      'These routes are for the Settings app alone: the peer has none of the ServiceAccounts that SETTINGS_SERVICE_ACCOUNTS allows for this user.',
      { setting: 'SETTINGS_SERVICE_ACCOUNTS' },
    );
  }
}

export class IdentityUnavailable extends DomainError {
  /** @param who did not answer */
  constructor(who: 'LLDAP' | 'The Kubernetes API server' = 'LLDAP') {
    super('IDENTITY_UNAVAILABLE', `${who} did not answer; try again.`);
  }
}
