import { createRequire } from 'node:module';
import { WORKSPACE_NAME } from '../authz/grant';
import { errorCodeOf } from '../errors/domain-error';
import { fieldsOf } from '../json/json';
import { ENVIRONMENTS, type Environment } from '../secrets/secret';

/** The input cannot be used. The message is one sentence for the operator and holds no secret. */
export class MigrationFailed extends Error {}

/** A person who is a member of a project, and the session by which the predecessor speaks for them. */
interface ProjectMember {
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

/** The part of `pg` that is used. The library is loaded by this command alone, and only where there is a database to ask. */
interface PostgresLibrary {
  readonly Client: new (options: Readonly<Record<string, unknown>>) => {
    connect(): Promise<unknown>;
    query(statement: string): Promise<{ readonly rows: readonly unknown[] }>;
    end(): Promise<void>;
    on(event: 'error', listener: () => void): unknown;
  };
}

const TIMEOUT_MS = 60_000;

/**
 * Asks the database of the predecessor for its projects, in one transaction that may only read.
 * @param options `url` is `postgres://user@host:port/database`, without a password
 * @throws MigrationFailed
 */
export async function inventoryOfDatabase({
  url,
  password,
}: {
  readonly url: string;
  readonly password: string | undefined;
}): Promise<readonly PredecessorProject[]> {
  const { Client } = createRequire(__filename)('pg') as PostgresLibrary;
  // What the library parses from the address counts before a password beside it.
  const address = new URL(url);
  if (password !== undefined) address.password = encodeURIComponent(password);
  const client = new Client({
    connectionString: address.href,
    application_name: 'migrate-from-tapr',
    connectionTimeoutMillis: TIMEOUT_MS,
    statement_timeout: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  // A lost connection also fails the query that waits.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await readInventory(async (statement) => (await client.query(statement)).rows);
  } catch (error: unknown) {
    if (error instanceof MigrationFailed) throw error;
    // The library's message may name the connection's password or a row's content.
    throw new MigrationFailed(
      `The database of the predecessor cannot be read (${errorCodeOf(error) ?? 'unknown error'}).`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws MigrationFailed, and whatever `query` throws */
export async function readInventory(
  query: (statement: string) => Promise<readonly unknown[]>,
): Promise<readonly PredecessorProject[]> {
  await query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const [row] = await query(INVENTORY_QUERY);
  await query('ROLLBACK');
  return parseInventory(fieldsOf(row)['projects']);
}

/** Parses the result of INVENTORY_QUERY, from the database or from a file. @throws MigrationFailed */
export function parseInventory(value: unknown): readonly PredecessorProject[] {
  if (!Array.isArray(value)) throw new MigrationFailed('The list of projects is not a JSON array.');
  return value.map((row: unknown, index) => {
    const { id, name, organizationId, environments, members } = fieldsOf(row);
    if (
      !isId(id) ||
      typeof name !== 'string' ||
      typeof organizationId !== 'string' ||
      !Array.isArray(environments) ||
      !environments.every((slug) => typeof slug === 'string') ||
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

interface UnassignedProject {
  readonly id: string;
  readonly name: string;
  readonly emails: readonly string[];
  readonly reason:
    | 'no_member'
    | 'several_members'
    | 'user_deleted'
    | 'email_of_several_users'
    | 'name_of_another_form'
    | 'workspace_not_allowed';
}

/**
 * Assigns a project to the user who is its only human member, never by its name: workspace `a` of user `b-c` and workspace `a-b` of user `c`
 * have one name. The workspace is the name without `-<user>` at its end.
 */
function assign(project: PredecessorProject, users: UsersByEmail): AssignedProject | UnassignedProject {
  const { id, name, members } = project;
  const emails = members.map(({ email }) => email);
  const unassigned = (reason: UnassignedProject['reason']) => ({ id, name, emails, reason });
  const [member, another] = members;
  if (member === undefined) return unassigned('no_member');
  if (another !== undefined) return unassigned('several_members');
  const [user, namesake] = users.get(member.email) ?? [];
  if (user === undefined) return unassigned('user_deleted');
  if (namesake !== undefined) return unassigned('email_of_several_users');
  if (!name.endsWith(`-${user}`)) return unassigned('name_of_another_form');
  const workspace = name.slice(0, -user.length - 1);
  if (!WORKSPACE_NAME.test(workspace)) return unassigned('workspace_not_allowed');
  return {
    ...project,
    user,
    workspace,
    member,
    known: ENVIRONMENTS.filter((environment) => project.environments.includes(environment)),
    unknown: project.environments.filter((slug) => !ENVIRONMENTS.some((known) => known === slug)),
  };
}

export interface MigrationPlan {
  /** In the order in which they are copied. */
  readonly projects: readonly AssignedProject[];
  /** All that there are, those of nobody among them: an earlier run may have left a role in one. */
  readonly known: readonly KnownProject[];
  /** Where users are chosen, those alone of which one of them is a member. */
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
  const names = [...users.values()].flat();
  const isChosen = (user: string): boolean => chosen.length === 0 || chosen.includes(user);
  const isOfChosen = ({ emails }: UnassignedProject): boolean =>
    chosen.length === 0 || emails.some((email) => users.get(email)?.some(isChosen));
  return {
    known: inventory.map((project) => ({
      ...project,
      member: project.members.find(({ session }) => session !== undefined),
    })),
    projects: assigned.filter((project) => 'workspace' in project).filter(({ user }) => isChosen(user)),
    unassigned: assigned.filter((project) => 'reason' in project).filter(isOfChosen),
    strangers: chosen.filter((user) => !names.includes(user)),
  };
}
