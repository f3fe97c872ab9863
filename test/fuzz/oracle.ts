import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { STATUS_OF, type Reason } from '../../src/errors/domain-error';
import { SYSTEM_SERVER_PREFIX } from '../../src/http/request/provider-request';
import type { Received, RawAnswer } from './exchange';
import type { SentRequest } from './fuzzed-request';
import { MARK, type FuzzedService, type StoreCall } from './fuzzed-service';
import type { Route } from './routes';

/** docs/errors.md by route: the reasons that nothing but the request itself brings about. */
const OF_ANY = ['INVALID_REQUEST', 'HEADERS_TOO_LARGE'] as const satisfies readonly Reason[];
const OF_BODY = ['REQUEST_TOO_LARGE', 'TOO_MANY_REQUESTS'] as const satisfies readonly Reason[];
const OF_OPERATION = ['UNAUTHENTICATED', 'NOT_GRANTED', 'USER_MISMATCH'] as const satisfies readonly Reason[];
const OF_SETTINGS = ['UNAUTHENTICATED', 'NOT_GRANTED', 'USER_MISMATCH', 'NOT_SETTINGS_APP', 'CROSS_SITE_REQUEST'] as const satisfies readonly Reason[]; // prettier-ignore
/** Only a store of Infisical refuses by its own rules. */
const OF_WRITE = ['SECRET_ALREADY_EXISTS', 'SECRET_NOT_FOUND', 'PRECONDITION_FAILED', 'QUOTA_EXCEEDED', 'STORE_REFUSED'] as const satisfies readonly Reason[]; // prettier-ignore

function reasonsOf({ path, access, method }: Route): readonly Reason[] {
  switch (access) {
    case 'app':
      if (path === '/ListSecret') return [...OF_BODY, ...OF_OPERATION, 'LIST_TOO_LARGE'];
      if (path === '/RetrieveSecret')
        return [...OF_BODY, ...OF_OPERATION, 'SECRET_NOT_FOUND', 'LIST_TOO_LARGE'];
      return [...OF_BODY, ...OF_OPERATION, ...OF_WRITE];
    case 'user':
      return [...OF_BODY, ...OF_SETTINGS, ...(method === 'GET' ? (['LIST_TOO_LARGE'] as const) : OF_WRITE)];
    case 'event-sender':
      return [...OF_BODY, 'UNAUTHENTICATED', 'USER_REMOVAL_PENDING'];
    case 'public':
      return OF_BODY;
  }
}

/** What an answer says, whatever its form. */
interface Said {
  readonly code: number;
  readonly reason: string | undefined;
}

const ACCESS_PATH = '/permission/v1alpha1/access';
const STACK = /\n\s+at |node_modules|\.ts:\d|\.js:\d|(?<!TokenValidation)Error:|\/work\/|\/tmp\//;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** What happened to the requests of a run, for the figures. */
export class Coverage {
  readonly successes = new Map<string, number>();
  readonly reasons = new Map<string, number>();
  answers = 0;

  add(route: string, { reason }: Said): void {
    this.answers += 1;
    const [counts, key] = reason === undefined ? [this.successes, route] : [this.reasons, reason];
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
}

/** Compares what a service answers and does with what it may. */
export class Oracle {
  readonly coverage = new Coverage();
  /** Where each marked value was stored. */
  readonly #places = new Map<string, Set<string>>();

  readonly #allReasons: readonly string[];

  constructor(private readonly service: FuzzedService) {
    this.#allReasons = ['ROUTE_NOT_FOUND', ...OF_ANY, ...service.routes.flatMap(reasonsOf)];
    service.onStoreCall = (call) => this.#storeCall(call);
  }

  readonly faults: string[] = [];
  /** The requests of the present batch by their ids, with the addresses that they come from. */
  readonly requests = new Map<string, { readonly request: SentRequest; readonly from: string }>();

  /** Judges all that one connection received. */
  judge(
    { answers, rest, isClosed }: Received,
    sent: readonly SentRequest[],
    from: string,
    isEarly: boolean,
  ): void {
    const fault = (what: string): void => void this.faults.push(what);
    if (!isClosed) fault('the service does not close a connection that its client has ended');
    if (rest !== '' && !isEarly) fault(`what follows the last answer is none: ${rest.slice(0, 200)}`);
    let next = 0;
    for (const answer of answers) {
      const id = answer.headers.get('x-request-id') ?? '';
      const at = sent.findIndex((one) => one.id === id);
      const expected = sent[next];
      let request = sent[at];
      if (at >= 0) {
        if (at < next) fault(`${id} is answered twice, or out of order`);
        const skipped = sent.slice(0, at).every((one) => one.isPlain) && at > next;
        if (skipped) fault(`a request before ${id} is not answered`);
        next = at + 1;
      } else if (!UUID.test(id)) fault(`an answer has the id of another request: ${id}`);
      else if (expected?.isPlain === true && !expected.hasId) {
        request = expected;
        next += 1;
      } else if (sent.slice(0, next + 1).every((one) => one.isPlain))
        fault(`an answer belongs to no request: ${answer.body.slice(0, 200)}`);
      this.#answer(answer, request, sent, from);
    }
    const isEnded = answers.some(({ headers }) => headers.get('connection') === 'close');
    if (isEarly || isEnded || sent.some((one) => !one.isPlain)) return;
    const missing = sent[answers.length];
    if (missing !== undefined)
      fault(`not answered: ${missing.id} ${missing.method} ${missing.target.slice(0, 100)}`);
  }

  /** Judges one answer; `request` is undefined where that is known only to be one of those sent. */
  #answer(
    answer: RawAnswer,
    request: SentRequest | undefined,
    sent: readonly SentRequest[],
    from: string,
  ): void {
    const { status, body } = answer;
    const asked =
      request === undefined ? 'a request without an id' : `${request.method} ${request.target.slice(0, 100)}`;
    const fault = (what: string): void =>
      void this.faults.push(`${what}: ${asked}: ${status} ${body.slice(0, 300)}`);
    if (STACK.test(body)) fault('a stack trace or a path');
    if (answer.headers.get('cache-control') !== 'no-store') fault('not Cache-Control: no-store');
    this.#searchForMarks(body, request === undefined ? sent : [request], from, fault);
    const route = request && this.#routeOf(request);
    if (/eyJ[\w-]{8,}\.eyJ/.test(body) && route?.path !== ACCESS_PATH) fault('a token');
    if (request?.method === 'HEAD') {
      if (status >= 500) fault('an unstated status');
      return;
    }
    // A request whose id the service could not read is any of those sent.
    const targets = request === undefined ? ['', ...sent.map(({ target }) => target)] : [request.target];
    const said = targets.map((target) => this.#said(answer, target)).find((one) => one !== undefined);
    if (said === undefined) return fault('not of the documented form');
    const name = route === undefined ? 'no route' : `${route.method} ${route.path}`;
    this.coverage.add(name, said);
    if (said.reason === undefined) {
      if (request !== undefined && route === undefined) fault('a success on no route');
      return;
    }
    if (STATUS_OF[said.reason as Reason] !== said.code) fault('reason and code do not agree');
    const own = route === undefined ? [] : reasonsOf(route);
    const reasons: readonly string[] = request === undefined ? this.#allReasons : [...OF_ANY, ...own];
    // A changed method or target is that of no route.
    if (!reasons.includes(said.reason) && !(route === undefined && said.reason === 'ROUTE_NOT_FOUND'))
      fault('a reason that is none of its route');
  }

  /** Returns what the answer says, and undefined where it has no documented form. */
  #said({ status, body }: RawAnswer, target: string): Said | undefined {
    const envelope = parsed(Buffer.from(body, 'latin1').toString('utf8'));
    if (envelope === undefined) return undefined;
    const message = String(envelope.message);
    if (target.startsWith(SYSTEM_SERVER_PREFIX)) {
      const [, text] = /^invoke provider err: code \d+, (.*)$/s.exec(message) ?? [];
      if (text !== undefined) return documented(parsed(text));
      if (message.startsWith('TokenValidationError: ')) return { code: 401, reason: 'UNAUTHENTICATED' };
      if (message === 'success' && envelope.code === 0) return documented(envelope.data);
    }
    if (target.startsWith(ACCESS_PATH) && status === 200) {
      if (envelope.code === 0 && envelope.data?.access_token !== undefined)
        return { code: 200, reason: undefined };
      if (envelope.code === 100001 && envelope.message === 'invalid auth token') return ACCESS_REFUSED;
      if (envelope.code === 1 && typeof envelope.message === 'string') return ACCESS_REFUSED;
    }
    const said = documented(envelope);
    const isSidecars = this.service.setup.responseStyle === 'sidecar' && status === 200;
    return said?.code === status || isSidecars ? said : undefined;
  }

  /** A value may be in the answer of a read alone, and only where the caller may read the place that it is stored in. */
  #searchForMarks(
    body: string,
    sent: readonly SentRequest[],
    from: string,
    fault: (what: string) => void,
  ): void {
    for (const mark of new Set(body.match(MARK) ?? [])) {
      const places = [...(this.#places.get(mark) ?? [])];
      const mayRead = (request: SentRequest): boolean => {
        const operation = this.#routeOf(request)?.path.slice(1);
        const rights = this.service.credentials.rightsOf(request.headers, from);
        const isRead = operation === 'RetrieveSecret' || operation === 'ListSecret';
        return isRead && places.some((place) => rights.has(`${operation} ${place}`));
      };
      if (!sent.some(mayRead)) fault(`the value ${mark} of ${places.join()}`);
    }
  }

  /** Returns the route that method and target name exactly; undefined for none. */
  #routeOf({ method, target }: SentRequest): Route | undefined {
    const [asked = ''] = target.split('?', 1);
    const path = asked.startsWith(SYSTEM_SERVER_PREFIX) ? asked.slice(SYSTEM_SERVER_PREFIX.length) : asked;
    const found = this.service.routes.find(
      (route) =>
        (route.method === method || (route.method === 'GET' && method === 'HEAD')) &&
        new RegExp(`^${route.path.replace(/:\w+/, '[^/]+')}$`).test(path),
    );
    const isOperation = SECRET_OPERATIONS.some((operation) => path === `/${operation}`);
    return (path === asked || isOperation) && isDecodable(path) ? found : undefined;
  }

  #storeCall({ method, scope, value, headers }: StoreCall): void {
    // Where versions up to 0.2.0 kept deletion jobs; no app has such a user.
    if (scope.user.startsWith('olares-secret-provider/')) return;
    const place = `${scope.user} ${scope.workspace}`;
    const [mark] = value?.match(MARK) ?? [];
    if (mark !== undefined) this.#places.set(mark, (this.#places.get(mark) ?? new Set()).add(place));
    if (headers === undefined) return;
    const known = this.requests.get(String(headers['x-request-id']));
    const sent =
      known?.request.headers ?? Object.entries(headers).map(([name, text]) => [name, String(text)] as const);
    const froms =
      known === undefined ? [...new Set([...this.requests.values()].map(({ from }) => from))] : [known.from];
    const operation = `${method.charAt(0).toUpperCase()}${method.slice(1)}Secret`;
    const isGranted = froms.some((from) => {
      const rights = this.service.credentials.rightsOf(sent, from);
      return rights.has(`${operation} ${place}`) || rights.has(`settings ${place}`);
    });
    if (!isGranted)
      this.faults.push(
        `a call of the store without a grant: ${method} ${place} for ${JSON.stringify(headers)}`,
      );
  }
}

/** A path with a broken percent escape is none. */
function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** The access route answers so, with HTTP 200, whatever was wrong with the proof or its form. */
const ACCESS_REFUSED: Said = { code: 400, reason: 'INVALID_REQUEST' };

function parsed(text: string): ReturnType<typeof JSON.parse> {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function documented(envelope: ReturnType<typeof JSON.parse>): Said | undefined {
  if (typeof envelope?.code !== 'number' || typeof envelope.message !== 'string') return undefined;
  const reason: unknown = envelope.data?.reason;
  if (envelope.code === 200 || envelope.code === 0) return { code: 200, reason: undefined };
  if (typeof reason !== 'string' || typeof envelope.data.requestId !== 'string') return undefined;
  return { code: envelope.code, reason };
}
