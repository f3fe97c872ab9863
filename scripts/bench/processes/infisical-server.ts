import { projectDisplayName, projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { FakeInfisical } from '../../../test/support/fake-infisical/fake-infisical';
import { startDatabase } from './database';
import { serve } from './handlers';
import { InfisicalFront } from './infisical-front';
import type { Call } from './load-generator';
import { LOGIN } from './login';
import { SERVICE_TIMES, ServiceTimeQueue, type ServerKind } from './service-times';

export interface WorkspaceToSeed {
  readonly user: string;
  readonly workspace: string;
  /** Named s0, s1, … */
  readonly secrets: number;
  readonly valueBytes: number;
}

export interface PredecessorRead {
  readonly databasePort: number;
  /** In this order. */
  readonly calls: readonly Call[];
}

const READ_FLAGS =
  'environment=prod&secretPath=%2F&expandSecretReferences=false&include_imports=false&recursive=false&viewSecretValue=true';

const LARGE_LIST_BYTES = 1_048_576;

const kind = process.argv[2] as ServerKind;
const opened = open();

/** Its own limits are off: what is measured is how long it takes, not when it refuses. */
async function open() {
  const times = SERVICE_TIMES[kind];
  const fake = await FakeInfisical.start({ apiVersion: kind, ...LOGIN });
  const front = new InfisicalFront(fake.url, new ServiceTimeQueue(times));
  await front.comeUp();
  return { fake, front, databasePort: await startDatabase(times.databaseMs) };
}

async function directRead(user: string, workspace: string, name = ''): Promise<Call> {
  const { fake, front } = await opened;
  const project = fake.project(projectSlug({ user, workspace }));
  const url = `${front.url}/api/v3/secrets/raw${name}?workspaceId=${project?.id}&${READ_FLAGS}`;
  return { method: 'GET', url, headers: { authorization: `Bearer ${fake.issueToken()}` } };
}

const handlers = {
  url: async (): Promise<string> => (await opened).front.url,
  seed: async (workspaces: readonly WorkspaceToSeed[]): Promise<void> => {
    const { fake, front } = await opened;
    for (const { secrets, valueBytes, ...place } of workspaces) {
      const name = projectDisplayName(place);
      const { environments } = fake.world.addProject(projectSlug(place), name, fake.identity);
      const prod = environments.find(({ slug }) => slug === 'prod');
      for (let at = 0; prod !== undefined && at < secrets; at++)
        fake.world.addSecret(prod, `s${at}`, 'v'.repeat(valueBytes));
      if (secrets * valueBytes >= LARGE_LIST_BYTES)
        await front.prepare(await directRead(place.user, place.workspace));
    }
  },
  /** How many there were since this was asked before. */
  calls: async (): Promise<number> => {
    const { fake, front } = await opened;
    const { calls } = front;
    fake.calls.length = front.calls = 0;
    return calls;
  },
  answerAtOnce: async (atOnce: boolean): Promise<void> => {
    (await opened).front.atOnce = atOnce;
  },
  directList: ({ user, workspace }: { readonly user: string; readonly workspace: string }): Promise<Call> =>
    directRead(user, workspace),
  predecessorRead: async (of: {
    readonly user: string;
    readonly workspace: string;
  }): Promise<PredecessorRead> => {
    const { fake, front, databasePort } = await opened;
    const byName = await directRead(of.user, of.workspace, '/s0');
    const { headers } = byName;
    const to = (path: string): Call => ({ method: 'GET', url: front.url + path, headers });
    const projects = to(`/api/v2/organizations/${fake.world.organizationId}/workspaces`);
    const calls = [projects, to(`/api/v2/workspace/${projectSlug(of)}`), byName];
    return { databasePort, calls };
  },
  goDown: async (): Promise<void> => (await opened).front.goDown(),
  comeUp: async (): Promise<void> => (await opened).front.comeUp(),
};

export type InfisicalServer = typeof handlers;

serve(handlers);
