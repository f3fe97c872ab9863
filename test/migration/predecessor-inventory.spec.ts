import { randomUUID } from 'node:crypto';
import {
  INVENTORY_QUERY,
  inventoryOfDatabase,
  parseInventory,
  parseUsers,
  readInventory,
} from '../../src/migration/predecessor-inventory';
import { describeWith } from '../support/describe-with';
import { PostgresServer } from '../support/postgres-server';

describe('the projects of the predecessor', () => {
  it('are asked for in a transaction that may only read, by a statement that only reads', async () => {
    const statements: string[] = [];
    await readInventory(async (statement) => {
      statements.push(statement);
      return [{ projects: [] }];
    });
    expect(statements).toEqual([
      'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY',
      INVENTORY_QUERY,
      'ROLLBACK',
    ]);
    expect(INVENTORY_QUERY).toMatch(/^SELECT /);
    expect(INVENTORY_QUERY).not.toMatch(
      /\b(INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|TRUNCATE|COPY|CALL|DO|INTO|FOR)\b|;/i,
    );
  });

  it.each([
    [undefined],
    [{}],
    [[{ id: '../x', name: 'n', organizationId: 'o', environments: [], members: [] }]],
    [[{ id: 'a', name: 'n', organizationId: 'o', environments: [1], members: [] }]],
    [[{ id: 'a', name: 'n', organizationId: 'o', environments: [], members: [{}] }]],
  ])('are refused in another form: %j', (value) => {
    expect(() => parseInventory(value)).toThrow(/^(The list|Project 1|A member) /);
  });

  it('have users by the whole address of their account, and by nothing else', () => {
    const user = (name: string, email?: string) => ({ metadata: { name }, spec: { email } });
    const users = parseUsers({
      items: [user('a', 'x@y'), user('b', 'x@y'), user('several', 'z@y'), user('c'), user('d', '')],
    });
    expect([...users]).toEqual([
      ['x@y', ['a', 'b']],
      ['z@y', ['several']],
    ]);
    expect(() => parseUsers([])).toThrow('The list of users has no items.');
  });

  it('cannot be read where nobody answers, which is told by a code alone', async () => {
    const url = 'postgres://user@127.0.0.1:1/database';
    await expect(inventoryOfDatabase({ url, password: 'canary' })).rejects.toThrow(
      'The database of the predecessor cannot be read (ECONNREFUSED).',
    );
  });
});

/** The columns that the statement reads, of the types that Infisical's migrations give them, and some others. */
const TABLES = `
CREATE TABLE users (id uuid PRIMARY KEY, email varchar, "isGhost" boolean NOT NULL DEFAULT false, username varchar);
CREATE TABLE projects (id varchar(36) PRIMARY KEY, name varchar NOT NULL, slug varchar NOT NULL, "orgId" uuid NOT NULL, "createdAt" timestamptz NOT NULL DEFAULT now());
CREATE TABLE project_memberships (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "userId" uuid NOT NULL REFERENCES users, "projectId" varchar(36) NOT NULL REFERENCES projects);
CREATE TABLE project_environments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar, slug varchar NOT NULL, position integer NOT NULL, "projectId" varchar(36) NOT NULL REFERENCES projects);
CREATE TABLE auth_token_sessions (id uuid PRIMARY KEY, ip varchar, "userAgent" varchar, "refreshVersion" integer NOT NULL DEFAULT 1, "accessVersion" integer NOT NULL DEFAULT 1, "lastUsed" timestamptz NOT NULL DEFAULT now(), "userId" uuid NOT NULL REFERENCES users);
`;

describeWith('postgresql', 'the projects of the predecessor in a real database', () => {
  let server: PostgresServer;
  const ids = {
    alice: randomUUID(),
    bob: randomUUID(),
    ghost: randomUUID(),
    page: randomUUID(),
    sidecar: randomUUID(),
  };
  const organization = randomUUID();
  beforeAll(async () => {
    server = await PostgresServer.start();
    server.run(TABLES);
    server.run(`
INSERT INTO users VALUES ('${ids.alice}', 'alice@example.org', false), ('${ids.bob}', 'bob''s@example.org', false), ('${ids.ghost}', NULL, true);
INSERT INTO projects VALUES ('p-2', 'notes-alice', 'notes-alice-x1y2', '${organization}', now()), ('p-1', 'a-b-c', 'a-b-c-x1y2', '${organization}', now() - interval '1 day'),
  ('p-3', 'alice / ws', 'osp-g8ua1uieiq3f2v2lefpreprjvbsjanfo', '${organization}', now());
INSERT INTO project_memberships ("userId", "projectId") VALUES ('${ids.alice}', 'p-2'), ('${ids.ghost}', 'p-2'), ('${ids.bob}', 'p-1'), ('${ids.ghost}', 'p-3');
INSERT INTO project_environments (slug, position, "projectId") VALUES ('prod', 3, 'p-2'), ('dev', 1, 'p-2'), ('staging', 2, 'p-2');
INSERT INTO auth_token_sessions (id, "userAgent", "accessVersion", "lastUsed", "userId") VALUES
  ('${ids.page}', 'Mozilla', 9, now(), '${ids.alice}'), ('${ids.sidecar}', 'tapr-sidecar', 1, now() - interval '1 day', '${ids.alice}');`);
  }, 60_000);
  afterAll(async () => server.remove());

  it('are those with their human members and the session of the predecessor, without our own, the oldest first', async () => {
    const { url, password } = server;
    expect(await inventoryOfDatabase({ url, password })).toEqual([
      {
        id: 'p-1',
        name: 'a-b-c',
        organizationId: organization,
        environments: [],
        members: [{ userId: ids.bob, email: "bob's@example.org", session: undefined }],
      },
      {
        id: 'p-2',
        name: 'notes-alice',
        organizationId: organization,
        environments: ['dev', 'staging', 'prod'],
        members: [
          { userId: ids.alice, email: 'alice@example.org', session: { id: ids.sidecar, accessVersion: 1 } },
        ],
      },
    ]);
  });

  it('are the same from the file that psql writes', async () => {
    const { url, password } = server;
    expect(parseInventory(JSON.parse(server.run(INVENTORY_QUERY)))).toEqual(
      await inventoryOfDatabase({ url, password }),
    );
  });

  it('are read in a transaction that can write nothing', async () => {
    const wrong = { url: server.url, password: 'wrong' };
    await expect(inventoryOfDatabase(wrong)).rejects.toThrow(
      'The database of the predecessor cannot be read (28P01).',
    );
    const refused = () =>
      server.run(
        'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; DELETE FROM project_memberships; COMMIT',
      );
    expect(refused).toThrow(/read-only transaction/);
  });
});
