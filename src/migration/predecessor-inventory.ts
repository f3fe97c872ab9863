import { fieldsOf } from '../json/json';
import { WORKSPACE_NAME } from '../authz/grant';
import { ENVIRONMENTS, type Environment } from '../secrets/secret';

/** The input cannot be used. The message is one sentence for the operator and holds no secret. */
export class MigrationFailed extends Error {}

/** A person who is a member of a project, and the session by which the predecessor speaks for them. */
export interface ProjectMember {
  readonly userId: string;
  readonly email: string;
  /** Undefined for a member who never used the predecessor. */
  readonly session: { readonly id: string; readonly accessVersion: number } | undefined;
}

/** A project of the predecessor, as its database has it. */
export interface PredecessorProject {
  readonly id: string;
  readonly name: string;
  readonly organizationId: string;
  /** Slugs. */
  readonly environments: readonly string[];
  /** Without ghosts. */
  readonly members: readonly ProjectMember[];
}

/**
 * Answers one row with one JSON value, which parseInventory() reads; the oldest project is first. It reads, and nothing else. Our own projects are
 * left out: they may be on the same server. The predecessor signs a person's token for one of that person's sessions, its own before others.
 */
export const INVENTORY_QUERY = `SELECT coalesce(json_agg(row_to_json(listed)), '[]'::json) AS projects FROM (
  SELECT project.id, project.name, project."orgId" AS "organizationId",
    (SELECT coalesce(json_agg(environment.slug ORDER BY environment.position), '[]'::json)
       FROM project_environments environment WHERE environment."projectId" = project.id) AS environments,
    (SELECT coalesce(json_agg(json_build_object('userId', person.id, 'email', person.email,
         'sessionId', session.id, 'accessVersion', session."accessVersion") ORDER BY person.id), '[]'::json)
       FROM project_memberships membership
       JOIN users person ON person.id = membership."userId"
       LEFT JOIN LATERAL (SELECT id, "accessVersion" FROM auth_token_sessions
         WHERE "userId" = person.id ORDER BY ("userAgent" = 'tapr-sidecar') DESC, "lastUsed" DESC LIMIT 1) session ON true
       WHERE membership."projectId" = project.id AND NOT person."isGhost") AS members
  FROM projects project WHERE project.slug !~ '^osp-[0-9a-v]{32}$'
  ORDER BY project."createdAt", project.id) listed`;

/** Parses the result of INVENTORY_QUERY, from the database or from a file. @throws MigrationFailed */
export function parseInventory(value: unknown): readonly PredecessorProject[] {
  if (!Array.isArray(value)) throw new MigrationFailed('The list of projects is not a JSON array.');
  return value.map((row: unknown, index) => {
    const { id, name, organizationId, environments, members } = fieldsOf(row);
    if (
      !isId(id) ||
      typeof name !== 'string' ||
      typeof organizationId !== 'string' ||
      !isTexts(environments) ||
      !Array.isArray(members)
    )
      throw new MigrationFailed(`Project ${index + 1} of the list is not of the documented form.`);
    return { id, name, organizationId, environments, members: members.map(parseMember) };
  });
}

function parseMember(value: unknown): ProjectMember {
  const { userId, email, sessionId, accessVersion } = fieldsOf(value);
  if (typeof userId !== 'string')
    throw new MigrationFailed('A member in the list of projects is not of the documented form.');
  return {
    userId,
    email: typeof email === 'string' ? email : '',
    session:
      typeof sessionId === 'string' && typeof accessVersion === 'number'
        ? { id: sessionId, accessVersion }
        : undefined,
  };
}

/** Ids become path segments and keys of the state, so '.', '..' and the like are refused. */
function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}

/** The users of the cluster by the address of their account. An address of several users assigns nothing. */
export type UsersByEmail = ReadonlyMap<string, readonly string[]>;

/**
 * Reads `metadata.name` and `spec.email` of a list of Olares' IAM Users, as the API server and `kubectl get -o json` answer it.
 * @throws MigrationFailed
 */
export function parseUsers(value: unknown): UsersByEmail {
  const { items } = fieldsOf(value);
  if (!Array.isArray(items)) throw new MigrationFailed('The list of users has no items.');
  const users = new Map<string, readonly string[]>();
  for (const item of items) {
    const user = fieldsOf(fieldsOf(item)['metadata'])['name'];
    const email = fieldsOf(fieldsOf(item)['spec'])['email'];
    if (typeof user !== 'string') throw new MigrationFailed('A user in the list of users has no name.');
    if (typeof email === 'string' && email !== '') users.set(email, [...(users.get(email) ?? []), user]);
  }
  return users;
}

/** A project with the member for whom roles are given and taken away in it, if there is any. */
export interface KnownProject extends PredecessorProject {
  readonly member: ProjectMember | undefined;
}

/** A project whose user and workspace are known. */
export interface AssignedProject extends KnownProject {
  readonly user: string;
  readonly workspace: string;
  readonly known: readonly Environment[];
  /** Environments that only a person can have made: nothing here has a place for them. */
  readonly unknown: readonly string[];
}

export type UnassignedReason =
  | 'no_member'
  | 'several_members'
  | 'user_deleted'
  | 'email_of_several_users'
  | 'name_of_another_form'
  | 'workspace_not_allowed';

export interface UnassignedProject {
  readonly id: string;
  readonly name: string;
  readonly emails: readonly string[];
  readonly reason: UnassignedReason;
}

/**
 * Assigns a project to the user who is its only human member, never by its name: workspace `a` of user `b-c` and workspace `a-b` of user `c`
 * have one name. The workspace is the name without `-<user>` at its end.
 */
export function assign(
  project: PredecessorProject,
  users: UsersByEmail,
): AssignedProject | UnassignedProject {
  const { id, name, members } = project;
  const unassigned = (reason: UnassignedReason) => ({
    id,
    name,
    reason,
    emails: members.map(({ email }) => email),
  });
  const [member, another] = members;
  if (member === undefined) return unassigned('no_member');
  if (another !== undefined) return unassigned('several_members');
  const [user, namesake] = users.get(member.email) ?? [];
  if (user === undefined) return unassigned('user_deleted');
  if (namesake !== undefined) return unassigned('email_of_several_users');
  if (!name.endsWith(`-${user}`)) return unassigned('name_of_another_form');
  const workspace = name.slice(0, -user.length - 1);
  if (!WORKSPACE_NAME.test(workspace)) return unassigned('workspace_not_allowed');
  const isKnown = (slug: string) => ENVIRONMENTS.some((environment) => environment === slug);
  return {
    ...project,
    user,
    workspace,
    member,
    known: ENVIRONMENTS.filter((environment) => project.environments.includes(environment)),
    unknown: project.environments.filter((slug) => !isKnown(slug)),
  };
}

export interface MigrationPlan {
  /** In the order in which they are copied. */
  readonly projects: readonly AssignedProject[];
  /** All that there are, those of nobody among them: an earlier run may have left a role in one. */
  readonly known: readonly KnownProject[];
  readonly unassigned: readonly UnassignedProject[];
  /** Chosen users whom the cluster does not have. */
  readonly strangers: readonly string[];
}

/** @param chosen the users whose projects are copied; all where there are none */
export function planOf(
  inventory: readonly PredecessorProject[],
  users: UsersByEmail,
  chosen: readonly string[],
): MigrationPlan {
  const assigned = inventory.map((project) => assign(project, users));
  const all = assigned.filter((project): project is AssignedProject => 'workspace' in project);
  const names = new Set([...users.values()].flat());
  return {
    known: inventory.map((project) => ({
      ...project,
      member: project.members.find(({ session }) => session !== undefined),
    })),
    projects: chosen.length === 0 ? all : all.filter(({ user }) => chosen.includes(user)),
    unassigned: assigned.filter((project): project is UnassignedProject => !('workspace' in project)),
    strangers: chosen.filter((user) => !names.has(user)),
  };
}
