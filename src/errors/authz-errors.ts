import { DomainError } from './domain-error';

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
