import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

export interface RealServer {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** The server that the environment names; a credential may lie in a file. */
export function realServer(): RealServer {
  const read = (name: string): string => {
    const file = process.env[`${name}_FILE`];
    const value = process.env[name] ?? (file === undefined ? '' : readFileSync(file, 'utf8').trim());
    if (value === '') throw new Error(`npm run test:infisical needs ${name} or ${name}_FILE.`);
    return value;
  };
  return {
    url: read('INFISICAL_URL').replace(/\/+$/, ''),
    clientId: read('INFISICAL_CLIENT_ID'),
    clientSecret: read('INFISICAL_CLIENT_SECRET'),
  };
}

interface Project {
  readonly id: string;
  readonly name: string;
  readonly orgId?: string;
}

/** Finds and deletes projects, which the service never does: so that a run leaves nothing behind. */
export class RealProjects {
  private constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly isV4: boolean,
  ) {}

  static async open({ url, clientId, clientSecret }: RealServer): Promise<RealProjects> {
    const probe = await call('GET', `${url}/api/v4/secrets`);
    const isV4 = !String(probe.body['message']).startsWith('Route ');
    const login = await call('POST', `${url}/api/v1/auth/universal-auth/login`, undefined, {
      clientId,
      clientSecret,
    });
    if (typeof login.body['accessToken'] !== 'string') throw new Error(`The login answers ${login.status}.`);
    return new RealProjects(url, login.body['accessToken'], isV4);
  }

  async find(slug: string): Promise<Project | undefined> {
    const path = this.isV4 ? `/api/v1/projects/slug/${slug}` : `/api/v2/workspace/${slug}`;
    const { status, body } = await this.#call('GET', path);
    if (status === 200) return (body['project'] ?? body) as Project;
    // v3 and the fork answer 500 for a project that is not there.
    const missing = status === 404 || body['error'] === 'Failed to find project by slug';
    if (!missing) throw new Error(`GET ${path} answers ${status}.`);
    return undefined;
  }

  /** All of one run that this identity can see, by the user at the beginning of their names. */
  async ofRun(run: string, organizationId: string): Promise<readonly Project[]> {
    const path = this.isV4 ? '/api/v1/projects' : `/api/v2/organizations/${organizationId}/workspaces`;
    const { status, body } = await this.#call('GET', path);
    if (status !== 200) throw new Error(`GET ${path} answers ${status}.`);
    const projects = (body['projects'] ?? body['workspaces']) as readonly Project[];
    return projects.filter(({ name }) => name.startsWith(run));
  }

  async delete(id: string): Promise<void> {
    const path = this.isV4 ? `/api/v1/projects/${id}` : `/api/v1/workspace/${id}`;
    const { status } = await this.#call('DELETE', path);
    if (status !== 200) throw new Error(`DELETE ${path} answers ${status}.`);
  }

  /** @returns how many projects were deleted. @throws Error when one is left */
  async sweep(run: string, slugs: Iterable<string>): Promise<number> {
    let [deleted, organizationId]: [number, string | undefined] = [0, undefined];
    for (const slug of slugs) {
      const project = await this.find(slug);
      if (project === undefined) continue;
      organizationId = project.orgId ?? organizationId;
      await this.delete(project.id);
      deleted += 1;
    }
    if (organizationId === undefined) return deleted;
    for (const { id } of await this.ofRun(run, organizationId)) {
      await this.delete(id);
      deleted += 1;
    }
    const left = await this.ofRun(run, organizationId);
    if (left.length > 0) throw new Error(`${left.length} projects of the run ${run} are left.`);
    return deleted;
  }

  #call(method: string, path: string) {
    return call(method, this.url + path, this.token);
  }
}

/** Waits where the server limits the rate. */
async function call(
  method: string,
  url: string,
  token?: string,
  sent?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  for (;;) {
    const response = await fetch(url, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(sent !== undefined && { 'content-type': 'application/json' }),
      },
      ...(sent !== undefined && { body: JSON.stringify(sent) }),
      signal: AbortSignal.timeout(60_000),
    });
    const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    if (response.status !== 429) return { status: response.status, body };
    await pause((Number(response.headers.get('retry-after') ?? 60) + 1) * 1000);
  }
}
