import { DomainError, fixedError } from './domain-error';

/** Workspaces of an earlier, deleted user of that name still exist. */
export class UserRemovalPending extends fixedError(
  'USER_REMOVAL_PENDING',
  'The workspaces of an earlier user of that name are still being removed; try again.',
) {}

/** A field breaks a rule; the message names both, never the value. */
export class InvalidRequest extends DomainError {
  constructor(field: string, rule: string) {
    super('INVALID_REQUEST', `${field}: ${rule}`, { field, rule });
  }
}

export class RequestTooLarge extends DomainError {
  constructor(maxBytes: number) {
    super('REQUEST_TOO_LARGE', `The request body is larger than ${maxBytes} bytes.`, { maxBytes });
  }
}

export class HeadersTooLarge extends fixedError(
  'HEADERS_TOO_LARGE',
  'The request has more than 100 headers, or more than 16 KiB of them.',
) {}

export class RouteNotFound extends fixedError(
  'ROUTE_NOT_FOUND',
  'There is no such route; the operations are POST /<Op>?workspace=<name>.',
) {}

export class TooManyRequests extends DomainError {
  constructor(readonly retryAfterSeconds: number) {
    super('TOO_MANY_REQUESTS', `Too many requests; try again in ${retryAfterSeconds} s.`, {
      retryAfterSeconds,
    });
  }
}

export class ShuttingDown extends fixedError('SHUTTING_DOWN', 'This instance is shutting down; try again.') {}

/** The request was refused before anything was done for it, so that the requests in flight can finish. */
export class Overloaded extends fixedError(
  'OVERLOADED',
  'This instance has more to do than it can at the moment; try again.',
) {}

/** The client closed its connection before anything was done, so this error is only logged. */
export class ClientGone extends fixedError('CLIENT_GONE', 'The client closed its connection.') {}

/** The audit trail did not take the record of the operation. Nothing was read for the caller, and nothing was changed. */
export class AuditUnavailable extends fixedError(
  'AUDIT_UNAVAILABLE',
  'The audit trail cannot take a record of this operation, so it is refused; try again.',
) {}

/** The headers that carry a credential. */
type CredentialHeader = 'X-Authorization' | 'X-Access-Token' | 'Authorization' | 'Cookie';

/** A credential is missing or invalid; the text is the same whatever is wrong, so that nothing can be learnt by trying. */
export class Unauthenticated extends DomainError {
  constructor(credential: CredentialHeader | 'client certificate') {
    super('UNAUTHENTICATED', 'A credential is missing or was refused.', { credential });
  }
}

/** The credentials of a request belong to different users. */
export class UserMismatch extends fixedError(
  'USER_MISMATCH',
  'The user token belongs to another user than the one concerned.',
) {}

/** The user is authenticated, but the peer is not the Settings app of this user. */
export class NotSettingsApp extends fixedError(
  'NOT_SETTINGS_APP',
  'These routes are for the Settings app alone: the peer has none of the ServiceAccounts that SETTINGS_SERVICE_ACCOUNTS allows for this user.',
  { setting: 'SETTINGS_SERVICE_ACCOUNTS' },
) {}

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

const NO_MANIFEST =
  ' No manifest of this app is known for this user. From Olares 1.12.1 on the chart of the app must bring it in a ConfigMap (docs/grants.md).';

/** The app does not hold the grant; the message names the manifest line that would state it. */
export class NotGranted extends DomainError {
  /** @param isInstalled false where nothing states grants of the app for this user, which is not a missing line but a missing manifest */
  constructor(app: string, operation: string, workspace: string, isInstalled = true) {
    const line = `${operation}?workspace=${workspace}`;
    super(
      'NOT_GRANTED',
      `App ${app} has no grant for ${operation} on workspace ${workspace}; ` +
        `its OlaresManifest.yaml would need "${line}" under permission.sysData (dataType secret, group secret.infisical, version v1).` +
        (isInstalled ? '' : NO_MANIFEST),
      { app, operation, workspace, grant: line },
    );
  }
}

/** The app states the grant for itself on a workspace that is not its own, and nobody has approved it. */
export class GrantPending extends DomainError {
  constructor(app: string, operation: string, workspace: string) {
    super(
      'NOT_GRANTED',
      `App ${app} states ${operation} on workspace ${workspace}, which is not a workspace of its own: ` +
        'the user must approve it first (POST /admin/grants/<app>/approve), or the operator.',
      { app, operation, workspace },
    );
  }
}

/** The app holds the grant, but the workspace is an earlier installed app's, which the message does not name. */
export class WorkspaceTaken extends DomainError {
  constructor(app: string, operation: string, workspace: string) {
    super(
      'NOT_GRANTED',
      `Workspace ${workspace} belongs to another app of this user, and the administrator does not allow apps to share one; ` +
        `app ${app} should use a workspace of its own.`,
      { app, operation, workspace },
    );
  }
}

/** The app holds the grant, but this access token was not issued for it. */
export class NotInAccessToken extends DomainError {
  constructor(app: string, operation: string, workspace: string) {
    const line = `${operation}?workspace=${workspace}`;
    super(
      'NOT_GRANTED',
      `The access token of app ${app} was not issued for ${line}; ask for it in perm.ops when requesting the token.`,
      { app, operation, workspace, op: line },
    );
  }
}

export class GrantsUnavailable extends DomainError {
  /** @param because one clause that is safe to show */
  constructor(because = 'they are not loaded yet') {
    super('GRANTS_UNAVAILABLE', `The grants of the installed apps are not known: ${because}; try again.`);
  }
}

/** The Settings app asked for an app that holds no grant for this user, or none on that workspace. */
export class AppHasNoWorkspace extends DomainError {
  constructor(app: string) {
    super('NOT_GRANTED', `App ${app} holds no grant on such a workspace for this user.`, { app });
  }
}

/** The app has several workspaces and the request does not name one. */
export class WorkspaceNeeded extends DomainError {
  constructor(app: string) {
    const rule = 'must name one of the workspaces of the app, since it has several';
    super('INVALID_REQUEST', `Workspace: ${rule}`, { field: 'Workspace', rule, app });
  }
}

/** Only what an app states can be approved. */
export class GrantNotStated extends DomainError {
  constructor(app: string) {
    const rule = 'must be operations that the app states on this workspace';
    super('INVALID_REQUEST', `operations: ${rule}`, { field: 'operations', rule, app });
  }
}

/** The API server did not take an approval, or its withdrawal. */
export class GrantApprovalFailed extends DomainError {
  /** @param failure a status and a word */
  constructor(failure: string) {
    super('GRANTS_UNAVAILABLE', `The approval was not stored, or its withdrawal (${failure}); try again.`);
  }
}
