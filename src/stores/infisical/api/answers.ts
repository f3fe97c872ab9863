import { fieldsOf } from '../../../json/json';
import type { Lease } from '../auth/machine-session';
import { looksMasked, nameOfKey, type SecretRow } from '../secret-codec';

// Each parser returns undefined for an answer that is not what its route documents.

export interface Project {
  readonly id: string;
  readonly organizationId: string | undefined;
  /** Slugs. */
  readonly environments: ReadonlySet<string>;
  /** Slugs that it has more than once: the server uses whichever of their environments it finds first. */
  readonly duplicateEnvironments: ReadonlySet<string>;
}

/** A lifetime of 0 seconds means a token that does not expire; it is renewed each hour. */
export function parseLogin(body: unknown): Lease | undefined {
  const { accessToken, expiresIn } = fieldsOf(body);
  if (typeof accessToken !== 'string' || accessToken === '' || typeof expiresIn !== 'number')
    return undefined;
  return { accessToken, expiresInSeconds: expiresIn > 0 ? expiresIn : 3600 };
}

/** Parses a project, which a create wraps in `project`, and a read by slug does not. */
export function parseProject(body: unknown): Project | undefined {
  const outer = fieldsOf(body);
  const { id, orgId, environments } = outer['project'] === undefined ? outer : fieldsOf(outer['project']);
  if (!isId(id) || !Array.isArray(environments)) return undefined;
  const slugs = environments.map((environment) => fieldsOf(environment)['slug']);
  if (!slugs.every((slug) => typeof slug === 'string')) return undefined;
  const duplicated = slugs.filter((slug, index) => slugs.indexOf(slug) !== index);
  return {
    id,
    organizationId: isId(orgId) ? orgId : undefined,
    environments: new Set(slugs),
    duplicateEnvironments: new Set(duplicated),
  };
}

export function parseIdentityOrganization(body: unknown): string | undefined {
  const { orgId } = fieldsOf(fieldsOf(body)['identity']);
  return isId(orgId) ? orgId : undefined;
}

/** Ids become path segments, so '.' and '..' are refused. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && !/^\.{0,2}$/.test(value);
}

/** A project as the list shows it. */
interface ListedProject {
  readonly id: string;
  readonly slug: string;
}

/** Parses a list of projects, which is called `workspaces`, or `projects` since v4. */
export function parseProjects(body: unknown): readonly ListedProject[] | undefined {
  const { workspaces, projects } = fieldsOf(body);
  const rows = workspaces ?? projects;
  if (!Array.isArray(rows)) return undefined;
  const parsed = rows.map((row: unknown) => {
    const { id, slug } = fieldsOf(row);
    return isId(id) && typeof slug === 'string' ? { id, slug } : undefined;
  });
  return parsed.every((project) => project !== undefined) ? parsed : undefined;
}

export function parseSecrets(body: unknown): readonly SecretRow[] | undefined {
  const { secrets } = fieldsOf(body);
  if (!Array.isArray(secrets)) return undefined;
  const rows = secrets.map(parseRow);
  return rows.every((row) => row !== undefined) ? rows : undefined;
}

export function parseSecret(body: unknown): SecretRow | undefined {
  return parseRow(fieldsOf(body)['secret']);
}

/** Parses the answer to a write: the secret of this key, or a request that approvers must decide. */
export function parseWrite(key: string, body: unknown): 'done' | 'approvalRequired' | undefined {
  const { secret, approval } = fieldsOf(body);
  if (typeof approval === 'object' && approval !== null) return 'approvalRequired';
  return parseRow(secret)?.key === key ? 'done' : undefined;
}

function parseRow(body: unknown): SecretRow | undefined {
  const { id, secretKey, secretValue, version, updatedAt, secretValueHidden } = fieldsOf(body);
  if (typeof id !== 'string' || typeof secretKey !== 'string') return undefined;
  const hidden = secretValueHidden === true || (typeof secretValue === 'string' && looksMasked(secretValue));
  if (!hidden && typeof secretValue !== 'string') return undefined;
  return {
    id,
    name: nameOfKey(secretKey),
    key: secretKey,
    version: typeof version === 'number' ? version : 0,
    updatedAtMs: (typeof updatedAt === 'string' && Date.parse(updatedAt)) || 0,
    stored: hidden || typeof secretValue !== 'string' ? undefined : secretValue,
  };
}
