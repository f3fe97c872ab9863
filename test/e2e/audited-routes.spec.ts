import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SECRET_OPERATIONS } from '../../src/authz/grant';
import type { Settings } from '../../src/config/settings';
import { exampleApps } from '../support/example-apps';
import { httpCall } from '../support/http-call';
import { AUDIT_SETTINGS, MemoryAuditSink } from '../support/memory.audit-sink';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';

/** With these settings the service has every route that it can have. */
const EVERY_ROUTE: Partial<Settings> = {
  audit: AUDIT_SETTINGS,
  settingsRoutes: 'user-token',
  apiDocs: true,
  grants: {
    kind: 'kubernetes',
    feeds: ['manifests'],
    environment: {},
    maxAgeMs: 600_000,
    audience: 'a',
    trustedServiceAccounts: [],
    systemServerProof: 'off',
    systemEventServiceAccounts: [],
    settingsServiceAccounts: [],
    olares: { release: 'since-1.12.1', leftovers: 'deny' },
    staticGrants: [],
  },
};

/** Whoever adds a route here says that it touches neither secrets nor grants. */
const NOT_AUDITED = ['/livez', '/readyz', '/openapi.json', '/docs', '/docs/:file'].flatMap((path) => [
  `GET ${path}`,
  `HEAD ${path}`,
]);

const PAGE = readFileSync(resolve(__dirname, '../../docs/audit.md'), 'utf8');
const isDocumented = (name: string): boolean =>
  SECRET_OPERATIONS.some((operation) => operation === name) || PAGE.includes(`\`${name}\``);

interface Route {
  readonly path: string;
  readonly methods: Readonly<Record<string, boolean>>;
}

/** Returns `<METHOD> <path>` of each route that Nest gave to Express; a GET is served as HEAD as well. */
function routesOf({ app }: Service): readonly string[] {
  const express = app.getHttpAdapter().getInstance() as unknown as {
    readonly router: { readonly stack: readonly { readonly route?: Route }[] };
  };
  return express.router.stack.flatMap(({ route }) =>
    Object.keys(route?.methods ?? {}).flatMap((method) =>
      (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]).map((one) => `${one} ${route?.path}`),
    ),
  );
}

describe('the routes of the service', () => {
  const sink = new MemoryAuditSink();
  let service: Service;
  beforeAll(async () => {
    const adapters = { store: new MemorySecretStore(), grantSource: exampleApps(), auditSink: sink };
    service = await startService(adapters, EVERY_ROUTE);
  });
  afterAll(() => service.close());

  it('are audited, each under the name of its operation, but for those that are named here', async () => {
    const routes = routesOf(service);
    expect(routes.length).toBeGreaterThan(20);
    const withoutRecord: string[] = [];
    const operations = new Map<string, string>();
    for (const route of routes) {
      sink.records.length = 0;
      const [method = '', path = ''] = route.split(' ');
      const target = path.replace(':app', 'otmoiclp').replace(':file', 'page.js');
      await fetch(`${service.url}${target}`, { method });
      const [record, ...others] = sink.records;
      expect([route, others]).toEqual([route, []]);
      if (record === undefined) withoutRecord.push(route);
      else operations.set(route, record.operation);
    }
    expect(withoutRecord.sort()).toEqual([...NOT_AUDITED].sort());
    const unknown = [...operations.values()].filter((name) => !isDocumented(name));
    expect(unknown).toEqual([]);
  });

  it('are not reached by another spelling of their path without a record', async () => {
    sink.records.length = 0;
    const spelled = [
      '/ADMIN/secret/otmoiclp',
      '/admin/secret/otmoiclp/',
      '/admin/%73ecret/otmoiclp',
      '/ListSecre%74',
    ];
    for (const path of spelled)
      for (const method of ['GET', 'POST'])
        expect((await httpCall(`${service.url}${path}`, { method, body: {} })).status).toBe(404);
    expect(sink.records).toEqual([]);
    for (const app of ['otmoi%63lp', 'a%2Fb', '%00'])
      await httpCall(`${service.url}/admin/secret/${app}`, { method: 'GET' });
    expect(sink.records.map(({ operation }) => operation)).toEqual(Array(3).fill('ListAppSecrets'));
  });
});
