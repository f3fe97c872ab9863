import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { FakeRefusal, withEntityTag, withRequestId, type FakeAnswer } from './fake-answer';
import {
  FAKE_API_VERSIONS,
  routeNotFound,
  type FakeApiVersion,
  type FakeApiVersionName,
  type TokenFault,
} from './fake-api-version';
import {
  FaultPlan,
  sendAnswer,
  applyFault,
  type Fault,
  type AnswerFault,
  type PlannedFault,
} from './fake-faults';
import { fakeRoutes, type FakeRoute } from './fake-routes';
import { FakeWorld, type FakeIdentity, type FakeProject } from './fake-world';

const BODY_LIMIT_BYTES = 1_048_576;
const WINDOW_MS = 60_000;
const MAX_PARAMETER_LENGTH = 100;

export interface FakeOptions {
  readonly apiVersion: FakeApiVersionName;
  readonly clientId?: string;
  readonly clientSecret?: string;
  readonly tokenTtlSeconds?: number;
  /** Rate limits by address, method and route, as recorded; off by default, so that suites are quick. */
  readonly rateLimits?: boolean;
}

export interface FakeCall {
  readonly method: string;
  /** Undefined for an unknown route. */
  readonly template: string | undefined;
  readonly target: string;
  readonly bearer: boolean;
  /** The `traceparent` header of the call. */
  readonly traceparent?: string;
  status: number;
}

/** A fake Infisical on loopback: it stores secrets, answers as recorded, and fails as planned. */
export class FakeInfisical {
  readonly world = new FakeWorld();
  readonly calls: FakeCall[] = [];
  /** Real servers stall when more writes overlap than their ten database connections serve. */
  mostWritesAtOnce = 0;
  /** The lifetime that new tokens claim. */
  tokenTtlSeconds: number;
  /** How far the server's clock is ahead. */
  clockSkewMs = 0;
  /** Tells whose a bearer is that the server has not given out itself, as the token of a person. */
  identifyPerson: (bearer: string) => FakeIdentity | undefined = () => undefined;
  /** The clock of the rate limits. */
  nowMs: () => number = Date.now;
  #writesUnderWay = 0;
  readonly identity: FakeIdentity;
  #apiVersion!: FakeApiVersion;
  #routes: readonly FakeRoute[] = [];
  readonly #tokens = new Map<string, { identity: FakeIdentity; fault?: TokenFault }>();
  readonly #moreRoutes: FakeRoute[] = [];
  readonly #plan = new FaultPlan();
  readonly #windows = new Map<string, { endsAtMs: number; used: number }>();
  readonly #server: Server;

  private constructor(private readonly options: FakeOptions) {
    this.tokenTtlSeconds = options.tokenTtlSeconds ?? 2_592_000;
    this.identity = this.world.addIdentity(
      options.clientId ?? randomUUID(),
      options.clientSecret ?? randomUUID(),
    );
    this.become(options.apiVersion);
    this.#server = createServer((request, response) => void this.#serve(request, response));
    // Connections that a test leaves open are ended by close().
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(options: FakeOptions): Promise<FakeInfisical> {
    const fake = new FakeInfisical(options);
    await fake.#listen(0);
    return fake;
  }

  /** Stops listening; returns the function that listens again. */
  async goDown(): Promise<() => Promise<void>> {
    const { port } = this.#server.address() as AddressInfo;
    await this.close();
    // Clients notice the end of their connections in a later turn of the event loop.
    for (let look = 0; look < 5; look++) await pause(2).then(() => new Promise(setImmediate));
    return () => this.#listen(port);
  }

  async #listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Changes the API version and keeps the data, as an upgrade does. */
  become(apiVersion: FakeApiVersionName): void {
    this.#apiVersion = FAKE_API_VERSIONS[apiVersion];
    this.#routes = fakeRoutes(this.world, this.#apiVersion, (identity) => ({
      accessToken: this.issueToken(identity),
      expiresIn: this.tokenTtlSeconds,
    }));
  }

  /** Routes that the adapter does not need in operation. */
  serveAlso(routes: readonly FakeRoute[]): void {
    this.#moreRoutes.push(...routes);
  }

  fail(plan: PlannedFault): void {
    this.#plan.add(plan);
  }

  heal(): void {
    this.#plan.clear();
  }

  issueToken(identity: FakeIdentity = this.identity): string {
    // The claims name the identity, as in the servers' tokens.
    const claims = Buffer.from(JSON.stringify({ identityId: identity.id })).toString('base64url');
    const accessToken = `fake-token-${randomUUID()}.${claims}.signature`;
    this.#tokens.set(accessToken, { identity });
    return accessToken;
  }

  /** Refuses from now on all tokens issued so far. */
  killTokens(fault: TokenFault): void {
    for (const token of this.#tokens.values()) token.fault = fault;
  }

  /** Returns the number of calls of one route, or of all routes. */
  count(method?: string, template?: string): number {
    return this.calls.filter(
      (call) =>
        (method === undefined || call.method === method) &&
        (template === undefined || call.template === template),
    ).length;
  }

  project(slug: string): FakeProject | undefined {
    return this.world.projects.find((project) => project.slug === slug);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('date', new Date(Date.now() + this.clockSkewMs).toUTCString());
    if (request.method !== 'GET') {
      this.#writesUnderWay += 1;
      this.mostWritesAtOnce = Math.max(this.mostWritesAtOnce, this.#writesUnderWay);
      response.once('close', () => (this.#writesUnderWay -= 1));
    }
    const method = request.method ?? 'GET';
    const target = request.url ?? '/';
    const found = this.#route(method, target);
    const call: FakeCall = {
      method,
      template: found?.route.template,
      target,
      bearer: request.headers.authorization !== undefined,
      ...(typeof request.headers['traceparent'] === 'string' && {
        traceparent: request.headers['traceparent'],
      }),
      status: 0,
    };
    this.calls.push(call);
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return;
    const fault = this.#plan.take(method, call.template);
    if (fault !== undefined && (await this.#failBefore(fault, response, call))) return;
    const given = await this.#answer(request, body, found);
    const answer = withEntityTag(request, this.#apiVersion.refusalsHaveIds ? withRequestId(given) : given);
    call.status = answer.status;
    if (fault !== undefined && this.#failAfter(fault, answer, response, call)) return;
    sendAnswer(response, answer);
  }

  async #answer(
    request: IncomingMessage,
    text: Buffer,
    found: { route: FakeRoute; path: Record<string, string> } | undefined,
  ): Promise<FakeAnswer> {
    const target = request.url ?? '/';
    let headers: Record<string, string> = {};
    try {
      // The servers verify a bearer first on every route, also on public ones.
      const identity = this.#identify(request);
      if (found === undefined) return routeNotFound(request.method ?? 'GET', target);
      if (identity === undefined && found.route.public !== true) return this.#apiVersion.token('missing');
      if (text.length > BODY_LIMIT_BYTES) return this.#apiVersion.bodyTooLarge();
      const body = parseBody(text);
      if (body === MALFORMED) return this.#apiVersion.malformedJson();
      headers = this.#limit(request, found.route);
      const answer = await found.route.handle({
        path: found.path,
        query: new URL(target, 'http://fake').searchParams,
        body,
        identity: identity ?? this.identity,
      });
      return { ...answer, headers: { ...headers, ...answer.headers } };
    } catch (error: unknown) {
      if (!(error instanceof FakeRefusal)) throw error;
      return { ...error.answer, headers: { ...headers, ...error.answer.headers } };
    }
  }

  #identify(request: IncomingMessage): FakeIdentity | undefined {
    const bearer = request.headers.authorization?.replace(/^Bearer /i, '');
    if (bearer === undefined) return undefined;
    const person = this.identifyPerson(bearer);
    if (person !== undefined) return person;
    const token = this.#tokens.get(bearer);
    if (token === undefined || token.fault !== undefined) {
      throw new FakeRefusal(this.#apiVersion.token(token?.fault ?? 'malformed'));
    }
    return token.identity;
  }

  #limit(request: IncomingMessage, route: FakeRoute): Record<string, string> {
    if (this.options.rateLimits !== true) return {};
    const address = String(request.headers['x-forwarded-for'] ?? request.socket.remoteAddress);
    const key = `${address} ${route.method} ${route.template}`;
    const limit = this.#apiVersion.limits[route.limit];
    if (limit === Infinity) return {};
    let window = this.#windows.get(key);
    const nowMs = this.nowMs();
    if (window === undefined || window.endsAtMs <= nowMs) {
      window = { endsAtMs: nowMs + WINDOW_MS, used: 0 };
      this.#windows.set(key, window);
    }
    window.used += 1;
    const reset = String(Math.ceil((window.endsAtMs - nowMs) / 1000));
    const headers = {
      'x-ratelimit-limit': String(limit),
      'x-ratelimit-remaining': String(Math.max(0, limit - window.used)),
      'x-ratelimit-reset': reset,
    };
    if (window.used <= limit) return headers;
    throw new FakeRefusal({
      ...this.#apiVersion.rateLimited(),
      headers: { ...headers, 'retry-after': reset },
    });
  }

  #route(method: string, target: string): { route: FakeRoute; path: Record<string, string> } | undefined {
    const pathname = target.split('?')[0] ?? '';
    for (const route of [...this.#routes, ...this.#moreRoutes]) {
      const path = route.method === method ? match(route.template, pathname) : undefined;
      if (path !== undefined) return { route, path };
    }
    return undefined;
  }

  async #failBefore(fault: Fault, response: ServerResponse, call: FakeCall): Promise<boolean> {
    if (fault.kind === 'delay') await pause(fault.ms);
    return fault.kind !== 'delay' && fault.when !== 'after' && this.#apply(fault, undefined, response, call);
  }

  #failAfter(fault: Fault, answer: FakeAnswer, response: ServerResponse, call: FakeCall): boolean {
    return fault.kind !== 'delay' && fault.when === 'after' && this.#apply(fault, answer, response, call);
  }

  #apply(
    fault: AnswerFault,
    answer: FakeAnswer | undefined,
    response: ServerResponse,
    call: FakeCall,
  ): boolean {
    if (fault.kind === 'answer') call.status = fault.status;
    applyFault(fault, answer, response);
    return true;
  }
}

const MALFORMED = Symbol('malformed');

function parseBody(text: Buffer): unknown {
  if (text.length === 0) return null;
  try {
    return JSON.parse(text.toString('utf8')) as unknown;
  } catch {
    return MALFORMED;
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** Matches a path as fastify does: by segments; a parameter is decoded and has at most 100 characters. */
function match(template: string, pathname: string): Record<string, string> | undefined {
  const [wanted, given] = [template.split('/'), pathname.split('/')];
  if (wanted.length !== given.length) return undefined;
  const path: Record<string, string> = {};
  for (const [at, segment] of wanted.entries()) {
    const value = given[at] ?? '';
    const key = /^\{(\w+)\}$/.exec(segment)?.[1];
    if (key === undefined) {
      if (segment !== value) return undefined;
      continue;
    }
    const decoded = decodeURIComponent(value);
    if (decoded === '' || decoded.length > MAX_PARAMETER_LENGTH) return undefined;
    path[key] = decoded;
  }
  return path;
}
