import Ajv2020 from 'ajv/dist/2020';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { STATUS_OF } from '../../src/errors/domain-error';
import { requireDescribed } from '../support/described-answers';
import { exampleApps } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { type Answer, httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { type Service, startService } from '../support/service';

const LINTER = resolve(__dirname, '../../scripts/lint-openapi.mjs');
const get = (url: string): Promise<Answer> => httpCall(url, { method: 'GET' });

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, { readonly schema: object; readonly example?: object }>> }>>;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object; readonly example?: object }>> };
} // prettier-ignore

describe('the OpenAPI document', () => {
  let service: Service;
  let text: string;
  let operations: readonly Operation[];
  beforeAll(async () => {
    const adapters = { store: new MemorySecretStore(), grantSource: exampleApps() };
    service = await startService(adapters, { apiDocs: true });
    const answer = await get(`${service.url}/openapi.json`);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    ({ text } = answer);
    const { paths } = answer.body as { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> }; // prettier-ignore
    operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  });
  afterAll(() => service.close());

  it('is shown by a page whose files take memory from a share of each address until they are read', async () => {
    const file = `${service.url}/docs/swagger-ui-bundle.js`;
    const unread = await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const socket = openSocket(file, '127.0.0.2');
        socket.write('GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n');
        await once(socket, 'readable');
        return socket;
      }),
    );
    const of = async (from: string) => (await httpCall(file, { method: 'GET', from })).status;
    expect([await of('127.0.0.2'), await of('127.0.0.3')]).toEqual([429, 200]);
    for (const socket of unread) socket.destroy();
    await eventually(async () => expect(await of('127.0.0.2')).toBe(200));
    const { headers, text: script } = await httpCall(file, { method: 'GET' });
    expect([headers['content-type'], script.length > 1_000_000]).toEqual([
      'text/javascript; charset=utf-8',
      true,
    ]);
  });

  it('states every reason, and the answers of every operation', () => {
    const reasons = Object.keys(STATUS_OF).filter((reason) => reason !== 'CLIENT_GONE');
    const described = operations.flatMap(
      ({ responses }) => JSON.stringify(responses).match(/\w+Failure"/g) ?? [],
    );
    expect(new Set(described.map((name) => name.replace('Failure"', '').replace(/(?!^)([A-Z])/g, '_$1').toUpperCase()))).toEqual(new Set(reasons)); // prettier-ignore
    expect(operations).toHaveLength(24);
    expect(operations.every(({ responses }) => responses['200'] !== undefined)).toBe(true);
  });

  it('has examples that are as it says', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(JSON.parse(text) as object, 'openapi');
    const rooted = (schema: object): object =>
      JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi#/')) as object;
    const stated = operations.flatMap(({ operationId, requestBody, responses }) =>
      [requestBody, ...Object.values(responses)].flatMap((one) => {
        const { schema, example } = one?.content['application/json'] ?? {};
        return schema === undefined || example === undefined ? [] : [{ operationId, schema, example }];
      }),
    );
    expect(stated.length).toBeGreaterThan(30);
    const wrong = stated.filter(({ schema, example }) => !ajv.validate(rooted(schema), example));
    expect(wrong).toEqual([]);
  });

  it('is without a fault by the rules of a linter', async () => {
    const linting = promisify(execFile)(process.execPath, [LINTER]);
    linting.child.stdin?.end(text);
    await expect(linting).resolves.toMatchObject({ stdout: 'The document has no fault.\n' });
  });

  it('finds an answer that it does not state', () => {
    const answer = (status: number, body: unknown): Answer => ({ status, headers: {}, text: JSON.stringify(body), body }); // prettier-ignore
    const secret = { name: 'k', value: 'v', env: 'prod' };
    const check = (status: number, body: unknown) => () =>
      requireDescribed('POST', 'http://x/RetrieveSecret?workspace=a', answer(status, body));
    expect(check(200, { code: 200, message: '', data: secret })).not.toThrow();
    expect(check(200, { code: 200, message: '', data: { ...secret, more: 1 } })).toThrow('otherwise');
    expect(check(418, {})).toThrow('does not state');
    const failed = { reason: 'SECRET_ALREADY_EXISTS', requestId: 'r', name: 'k' };
    expect(check(404, { code: 409, message: 'm', data: failed })).toThrow('otherwise');
  });

  it('is shown as a page that loads nothing from elsewhere', async () => {
    const page = await get(`${service.url}/docs`);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/); // prettier-ignore
    expect(page.text).not.toMatch(/https?:|<style|<script>|on\w+=/);
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
    expect(loaded).toHaveLength(3);
    for (const path of loaded) {
      const { status, headers, text: file } = await get(`${service.url}/${path}`);
      expect([status, headers['x-content-type-options']]).toEqual([200, 'nosniff']);
      expect(headers['content-type']).toMatch(/^text\/(css|javascript)/);
      expect(file.length).toBeGreaterThan(50);
    }
    for (const path of ['docs/package.json', 'docs/..%2Fpackage.json', 'docs/%2e%2e%2fajv%2fpackage.json'])
      expect((await get(`${service.url}/${path}`)).status).toBe(404);
  });

  it('is not there with API_DOCS=off', async () => {
    const adapters = { store: new MemorySecretStore(), grantSource: exampleApps() };
    const other = await startService(adapters, { apiDocs: false });
    for (const path of ['openapi.json', 'docs', 'docs/page.js'])
      expect((await get(`${other.url}/${path}`)).status).toBe(404);
    await other.close();
  });
});
