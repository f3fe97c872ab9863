import { DomainError } from './domain-error';

/** Says what is missing and the manifest line that would mend it. */
export class NotGranted extends DomainError {
  constructor(app: string, operation: string, workspace: string) {
    const line = `${operation}?workspace=${workspace}`;
    super(
      'NOT_GRANTED',
      `App ${app} has no grant for ${operation} on workspace ${workspace}; ` +
        `its OlaresManifest.yaml would need "${line}" under permission.sysData (dataType secret, group secret.infisical, version v1).`,
      { app, operation, workspace, grant: line },
    );
  }
}

/** The app holds the grant, and so does an app that was installed earlier, which is not named to it. */
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

/** The Settings app asked for an app that holds no secret grant (there) for this user. */
export class AppHasNoWorkspace extends DomainError {
  constructor(app: string) {
    super('NOT_GRANTED', `App ${app} holds no grant on such a workspace for this user.`, { app });
  }
}

/** The app has several workspaces and the request does not say which one is meant. */
export class WorkspaceNeeded extends DomainError {
  constructor(app: string) {
    const rule = 'must name one of the workspaces of the app, since it has several';
    super('INVALID_REQUEST', `Workspace: ${rule}`, { field: 'Workspace', rule, app });
  }
}
