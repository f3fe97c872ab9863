/** The server generations: what Olares ships, upstream's v3 raw routes, and upstream since 2025-09. */
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

/** A call as failures and logs name it; the probe is made before it is known which routes there are. */
export type CallLabel = CallName | 'probe' | 'setup';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `{x}` stands for one percent-encoded segment; the template is safe to log. */
  readonly path: string;
}
