import { PROVIDER } from '../../authz/grant';
import { STATUS_OF, type Reason } from '../../errors/domain-error';
import { SYSTEM_SERVER_PREFIX } from '../request/provider-request';
import {
  ACCESS_ANSWER,
  DATA_SCHEMAS,
  failureSchema,
  PARSED_BODIES,
  type JsonSchema,
  requestSchema,
  schemaRef,
  successSchema,
  wrappedSchema,
} from './openapi-schemas';
import { type DescribedRoute, describedRoutes } from './openapi-routes';

type Json = Readonly<Record<string, unknown>>;

/** What any request may fail for, before it is known what it is for. */
const OF_ALL: readonly Reason[] = ['INVALID_REQUEST', 'HEADERS_TOO_LARGE', 'INTERNAL', 'UNAUTHENTICATED', 'OVERLOADED', 'SHUTTING_DOWN', 'TOO_MANY_REQUESTS', 'ROUTE_NOT_FOUND', 'REQUEST_TOO_LARGE']; // prettier-ignore
const OF_ACCESS: Readonly<Record<DescribedRoute['access'], readonly Reason[]>> = {
  app: ['GRANTS_UNAVAILABLE', 'IDENTITY_UNAVAILABLE', 'USER_MISMATCH', 'AUDIT_UNAVAILABLE'],
  user: ['IDENTITY_UNAVAILABLE', 'USER_MISMATCH', 'NOT_SETTINGS_APP', 'CROSS_SITE_REQUEST', 'AUDIT_UNAVAILABLE'],
  'event-sender': ['IDENTITY_UNAVAILABLE', 'AUDIT_UNAVAILABLE'],
  public: ['AUDIT_UNAVAILABLE'],
}; // prettier-ignore

const SECURITY: Readonly<Record<DescribedRoute['access'], readonly object[]>> = {
  app: [
    { userToken: [], accessToken: [] },
    { userToken: [], serviceAccount: [] },
  ],
  user: [{ userToken: [] }, { userToken: [], serviceAccount: [] }, { loginCookie: [] }],
  'event-sender': [{ serviceAccount: [] }],
  public: [],
};

/** Returns the OpenAPI 3.1 document of the service. */
export function openApiDocument(): Json {
  const routes = describedRoutes();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route) };
    if (!isSecretOperation(route)) continue;
    paths[`${SYSTEM_SERVER_PREFIX}${route.path}`] = { post: wrappedOperationOf(route) };
  }
  // Nobody is there to be told that the client is gone.
  const reasons = (Object.keys(STATUS_OF) as Reason[]).filter((reason) => reason !== 'CLIENT_GONE');
  const failures = Object.fromEntries(reasons.map((reason) => [failureName(reason), failureSchema(reason)]));
  const bodies = routes.flatMap(({ body }) =>
    body === undefined ? [] : [[body.name, requestSchema(body)] as const],
  );
  return {
    openapi: '3.1.0',
    info: { title: 'olares-secret-provider', version: VERSION, description: ABOUT, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name, description: TAGS[name] ?? name })),
    paths,
    components: {
      schemas: { ...DATA_SCHEMAS, ...PARSED_BODIES, AccessAnswer: ACCESS_ANSWER, ...Object.fromEntries<JsonSchema>(bodies), ...failures },
      headers: HEADERS,
      securitySchemes: SECURITY_SCHEMES,
    },
  }; // prettier-ignore
}

function isSecretOperation({ tag }: DescribedRoute): boolean {
  return tag === 'Secrets';
}

/** Returns the reasons for which a route may fail, each once. */
function reasonsOf({ access, reasons, path }: DescribedRoute): readonly Reason[] {
  const isProbe = path === '/livez' || path === '/readyz';
  if (isProbe) return [...new Set<Reason>([...reasons, 'HEADERS_TOO_LARGE', 'INVALID_REQUEST', 'INTERNAL'])];
  return [...new Set([...OF_ALL, ...OF_ACCESS[access], ...reasons])];
}

function operationOf(route: DescribedRoute): Json {
  const { id, tag, summary, access, answers } = route;
  const inBoth = isSecretOperation(route) || route.tag === 'Explain' || access === 'user';
  const sidecarFailures = inBoth ? reasonsOf(route).map((reason) => schemaRef(failureName(reason))) : [];
  const hasSidecar = inBoth || access === 'event-sender';
  const success = successesOf(route, hasSidecar ? [200, 0] : [200]);
  return {
    operationId: id.replace(/Controller\./, '_'),
    tags: [tag],
    summary,
    description: descriptionOf(route),
    ...requestOf(route),
    responses: {
      200: {
        description: 'Done; with RESPONSE_STYLE=sidecar every answer, and `code` says whether it was done.',
        headers: headersOf('X-Request-Id', ...(answers === 'Secret' || answers === 'Secrets' ? ['ETag', 'Age', 'Cache-Status'] : [])),
        content: { 'application/json': { schema: anyOf([...success, ...sidecarFailures]), ...exampleOf(route) } },
      },
      ...failureResponses(reasonsOf(route)),
    },
  }; // prettier-ignore
}

/** The same operation as apps call it at their system-server, which answers HTTP 200 always. */
function wrappedOperationOf(route: DescribedRoute): Json {
  const failures = reasonsOf(route).map((reason) => schemaRef(failureName(reason)));
  return {
    operationId: `${route.id.replace(/Controller\./, '_')}_asSystemServer`,
    tags: ['Secrets'],
    summary: `${route.summary}, under system-server's own path and in its form of answers`,
    ...requestOf(route),
    responses: {
      200: {
        description: 'The answer of the operation in `data`; a failure is a sentence that contains it.',
        headers: headersOf('X-Request-Id'),
        content: {
          'application/json': { schema: wrappedSchema([...successesOf(route, [200, 0]), ...failures]) },
        },
      },
      ...failureResponses(['INVALID_REQUEST', 'HEADERS_TOO_LARGE']),
    },
  };
}

function descriptionOf({ tag, access }: DescribedRoute): string {
  if (tag === 'Secrets')
    return 'The manifest of the app must grant exactly this operation on this workspace.';
  if (access === 'user') return 'For the Settings app; off where SETTINGS_ROUTES says so.';
  if (access === 'event-sender') return "For the sender of Olares' system events alone.";
  return access === 'app' ? 'With the credentials of the operations.' : 'Needs no credentials.';
}

function parametersOf({ path, query, access, reasons }: DescribedRoute): readonly Json[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: 'The name of the app.',
    schema: { type: 'string' },
  }));
  const { properties = {}, required = [] } = (query === undefined ? {} : requestSchema(query)) as {
    readonly properties?: Readonly<Record<string, JsonSchema>>;
    readonly required?: readonly string[];
  };
  const inQuery = Object.entries(properties)
    .filter(([name]) => name !== 'user')
    .map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }));
  const user = { name: 'user', in: 'query', required: false, description: 'For whom a member of ADMIN_GROUP calls.', schema: { type: 'string' } }; // prettier-ignore
  const ifMatch = { name: 'If-Match', in: 'header', required: false, description: 'The ETag of what was read: 412 where it has changed since.', schema: { type: 'string' } }; // prettier-ignore
  const isConditional = reasons.includes('PRECONDITION_FAILED');
  return [...inPath, ...inQuery, ...(access === 'user' ? [user] : []), ...(isConditional ? [ifMatch] : [])];
}

/** Returns what a caller sends: its credentials, parameters and body. */
function requestOf(route: DescribedRoute): Json {
  const { access, body, accepts = body?.name, example } = route;
  const sent = { security: SECURITY[access], parameters: parametersOf(route) };
  if (accepts === undefined) return sent;
  const examples = example?.body === undefined ? {} : { example: example.body };
  const content = { 'application/json': { schema: schemaRef(accepts), ...examples } };
  return { ...sent, requestBody: { required: true, content } };
}

/** Returns the answers of a success by their codes; those of system-server have one form. */
function successesOf({ answers }: DescribedRoute, codes: readonly (0 | 200)[]): readonly JsonSchema[] {
  if (answers === 'access token') return [schemaRef('AccessAnswer')];
  return codes.map((code) => successSchema(answers, code));
}

function exampleOf({ example, answers }: DescribedRoute): Json {
  if (example === undefined) return {};
  const [code, message] = answers === 'access token' ? [0, 'success'] : [200, ''];
  return { example: { code, message, data: example.data } };
}

/** Returns the answers of these reasons by status; of those with one status, any. */
function failureResponses(reasons: readonly Reason[]): Readonly<Record<number, Json>> {
  const statuses = [...new Set(reasons.map((reason) => STATUS_OF[reason]))].sort();
  const responses = statuses.map((status) => {
    const ofStatus = reasons.filter((reason) => STATUS_OF[reason] === status);
    const schema = anyOf(ofStatus.map((reason) => schemaRef(failureName(reason))));
    const retryAfter = status === 429 || status === 503 ? ['Retry-After'] : [];
    return [
      status,
      {
        description: ofStatus.map((reason) => `\`${reason}\``).join(', '),
        headers: headersOf('X-Request-Id', ...retryAfter),
        content: { 'application/json': { schema } },
      },
    ] as const;
  });
  return Object.fromEntries(responses);
}

/** The only one stands for itself. */
function anyOf(schemas: readonly JsonSchema[]): JsonSchema {
  const [first = {}, second] = schemas;
  return second === undefined ? first : { anyOf: schemas };
}

function failureName(reason: Reason): string {
  const words = reason.toLowerCase().split('_');
  return `${words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')}Failure`;
}

function headersOf(...names: readonly string[]): Json {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** That of the provider which apps name in their manifests. */
const VERSION = PROVIDER.version;

const ABOUT =
  'Keeps passwords, keys and tokens for the apps of an Olares cluster. Every answer is an envelope `{code, message, data}`; ' +
  'programs test `data.reason` of a failure. With RESPONSE_STYLE=sidecar it is HTTP 200 always, and `code` is 0 for success. ' +
  'A body has at most 3 MiB where a value is stored and 64 KiB elsewhere, and a request at most 100 headers of 16 KiB together.';

const TAGS: Readonly<Record<string, string>> = {
  Secrets: 'The five operations of apps.',
  Explain: 'What decides an operation.',
  Access: 'Access tokens of apps.',
  AppSecrets: 'What the Settings app calls for a user.',
  GrantApprovals: "Approvals of what apps state outside of their own workspaces; with `manifests` in GRANT_FEEDS.",
  UserEvents: "Olares' system events.",
  Health: 'Probes.',
}; // prettier-ignore

const HEADERS = {
  'X-Request-Id': { description: 'Finds the request in the log.', required: true, schema: { type: 'string' } },
  'Retry-After': { description: 'After how many seconds to try again.', schema: { type: 'integer' } },
  ETag: { description: 'Of the content; the same on every replica.', schema: { type: 'string' } },
  Age: { description: 'Age in seconds of what the cache answers while the store is unavailable.', schema: { type: 'integer' } },
  'Cache-Status': { description: 'RFC 9211; present where the answer is stale.', schema: { type: 'string' } },
}; // prettier-ignore

const SECURITY_SCHEMES = {
  userToken: { type: 'apiKey', in: 'header', name: 'X-Authorization', description: "The user's token of the Olares login." },
  accessToken: { type: 'apiKey', in: 'header', name: 'X-Access-Token', description: 'From POST /permission/v1alpha1/access.' },
  serviceAccount: { type: 'http', scheme: 'bearer', description: "The pod's ServiceAccount token, in a cluster." },
  loginCookie: { type: 'apiKey', in: 'cookie', name: 'auth_token', description: 'On the Settings routes alone.' },
}; // prettier-ignore
