import type { LogEvent } from '../../../src/logging/log';
import { type Clock, type MonotonicTime, SystemClock } from '../../../src/time/clock';
import type { SecretScope } from '../../../src/secrets/secret';
import { StoreClient } from '../../support/store-client';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import type { InfisicalOptions } from '../../../src/stores/infisical/create-infisical-secret-store';
import type { InfisicalSecretStore } from '../../../src/stores/infisical/infisical.secret-store';
import type { ApiVersionName } from '../../../src/stores/infisical/versions/calls';
import type { ReloadableCredentials } from '../../../src/stores/infisical/auth/login-method';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import type { FakeApiVersionName } from '../../support/fake-infisical/fake-api-version';
import { FakeInfisical, type FakeOptions } from '../../support/fake-infisical/fake-infisical';

export const ROUTES = {
  login: '/api/v1/auth/universal-auth/login',
  ping: '/api/v2/organizations/{orgId}/workspaces',
  project: '/api/v2/workspace/{slug}',
  projects: '/api/v2/workspace',
  environments: '/api/v1/workspace/{projectId}/environments',
  list: '/api/v3/secrets/raw',
  secret: '/api/v3/secrets/raw/{name}',
} as const;

/** As v4's documents and source name them. */
const V4_ROUTES: Readonly<Record<keyof typeof ROUTES, string>> = {
  login: ROUTES.login,
  ping: '/api/v1/projects/slug/{slug}',
  project: '/api/v1/projects/slug/{slug}',
  projects: '/api/v1/projects',
  environments: '/api/v1/projects/{projectId}/environments',
  list: '/api/v4/secrets',
  secret: '/api/v4/secrets/{name}',
};

export function routesOf(apiVersion: FakeApiVersionName): Readonly<Record<keyof typeof ROUTES, string>> {
  return apiVersion === 'v4' ? V4_ROUTES : ROUTES;
}

/** The API version is that of the fake, unless it is to be detected. */
export type Choices = Partial<Omit<InfisicalOptions, 'apiVersion'>> & {
  readonly clientId?: string;
  readonly clientSecret?: string;
  readonly universalAuth?: ReloadableCredentials['universalAuth'];
  readonly apiVersion?: ApiVersionName | undefined;
};

export interface Opened {
  readonly fake: FakeInfisical;
  readonly store: TestedStore;
  /** Everything that was logged. */
  readonly logged: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
  /** One more instance of the service, on the same server. */
  readonly another: (options?: Choices) => TestedStore;
}

/** A store on a fake Infisical. */
type TestedStore = StoreClient<InfisicalSecretStore>;

const open: (() => Promise<void>)[] = [];

// However a test ends, nothing that it opened keeps the process alive.
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()));
});

/** A fake of its own and a store on it, for one test. */
export async function openStore(
  fakeOptions: FakeOptions,
  options: Choices = {},
  clock: Clock = new SystemClock(),
  time?: MonotonicTime,
): Promise<Opened> {
  const fake = await FakeInfisical.start(fakeOptions);
  const { clientId, clientSecret } = fake.identity;
  const logged: Opened['logged'] = [];
  const stores: TestedStore[] = [];
  const another = (more: Choices = {}) => {
    const activeVersion = fakeOptions.apiVersion === 'v3-2025' ? 'v3' : fakeOptions.apiVersion;
    const chosen = { apiVersion: activeVersion, ...options, ...more };
    const { apiVersion, ...others } = chosen;
    const told = apiVersion === undefined ? {} : { apiVersion };
    const all: InfisicalOptions = { url: fake.url, clientId, clientSecret, ...others, ...told };
    const log: LogEvent = (_level, event, fields = {}) => void logged.push({ event, fields });
    const store = new StoreClient(createInfisicalSecretStore(all, clock, log, time));
    stores.push(store);
    return store;
  };
  open.push(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await fake.close();
  });
  return { fake, store: another(), logged, another };
}

export function at(
  workspace = 'ws',
  environment: SecretScope['environment'] = 'prod',
  user = 'alice',
): SecretScope {
  return { user, workspace, environment };
}

/** What the fake holds in a scope: name and stored text of each row. */
export function rowsOf(fake: FakeInfisical, scope: SecretScope): [string, string][] {
  const environments = fake.project(projectSlug(scope))?.environments ?? [];
  const rows = environments
    .filter(({ slug }) => slug === scope.environment)
    .flatMap(({ secrets }) => secrets);
  return rows.map(({ key, value }): [string, string] => [key, value]).sort();
}

/** The calls since the last look, as `METHOD template`. */
export function callsOf(fake: FakeInfisical): string[] {
  return fake.calls.splice(0).map(({ method, template }) => `${method} ${template}`);
}
