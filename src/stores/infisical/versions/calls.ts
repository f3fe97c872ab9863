/** The fork that Olares ships, upstream's v3 raw routes, and upstream since 2025-09. */
export type ApiVersionName = 'fork' | 'v3' | 'v4';

/** Every call that this adapter makes. */
export type CallName =
  | 'login'
  | 'ping'
  | 'checkOrganization'
  | 'findProject'
  | 'createProject'
  | 'listProjects'
  | 'deleteProject'
  | 'createEnvironment'
  | 'listSecrets'
  | 'retrieveSecret'
  | 'createSecret'
  | 'updateSecret'
  | 'deleteSecret';

/** The name of a call in failures and logs. The probe is made before the API version is known; setup and migration make calls of their own. */
export type CallLabel = CallName | 'probe' | 'setup' | 'migration';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `{x}` stands for one percent-encoded segment; the template is safe to log. */
  readonly path: string;
}
