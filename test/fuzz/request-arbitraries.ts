import fc from '../support/fast-check';
import type { Credentials, HeaderPair, Identity } from './credentials';
import { type BodyEdit, type Change, type Framing, KNOWN_METHODS, MARK_PLACE, type RequestSpec, type TargetForm } from './fuzzed-request'; // prettier-ignore
import { accepted, type Field, type Route } from './routes';

/** What is sent on one connection, and how. */
export interface ConnectionSpec {
  readonly requests: readonly RequestSpec[];
  /** All at once, or each after the answer of the one before. */
  readonly isPipelined: boolean;
  /** Where what is sent is divided, as shares of its length. */
  readonly cuts: readonly number[];
  /** Where the client goes away instead of waiting, and how. */
  readonly early: { readonly at: number; readonly how: 'end' | 'destroy' | 'reset' } | undefined;
}

/** Values that are known to the service, so that more than refusals is reached; a field without any is made by its rules alone. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  workspace: [
    'otmoic',
    'otmoic',
    'otmoic',
    'otmoic',
    'otmoic',
    'otmoic',
    'notes',
    'notes',
    'shared',
    'foreign',
  ],
  name: ['k', 'k', 'k', 'api-key', 'a/b:c'],
  operations: ['RetrieveSecret', 'RetrieveSecret,ListSecret'],
};
const USERS = ['alice', 'bob', 'gone-1', 'gone-2'];
const APPS = ['otmoiclp', 'reader', 'notes', 'nobody'];
/** The share of well-formed parts; the rest is anything. */
const MOSTLY = { weight: 10 };

/** Any text, surrogates included. fast-check's own unit for it takes a second to make. */
const text = fc.string({
  unit: fc
    .oneof(fc.integer({ max: 0x7f, min: 0 }), fc.integer({ max: 0x10_ffff, min: 0 }))
    .map((point) => String.fromCodePoint(point)),
  maxLength: 60,
});
const plainText = fc.string();

/** JSON texts of every type and size, and some that are none. */
const anyJson = fc.oneof(
  fc.constantFrom('null', 'true', '0', '-0', '1e400', '-1e400', '1e-400', '9007199254740993', '1' + '0'.repeat(400), '{}', '[]', '""', '"."', '".."', '" k"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"__proto__"', '{"__proto__":{"x":1}}', '{"constructor":{"prototype":1}}', '[["k"]]', '[[[["k"]]]]', 'NaN', 'undefined', '01', '"\\x"', "'k'"), // prettier-ignore
  text.map((text) => JSON.stringify(text)),
  fc.string({ minLength: 95, maxLength: 105, unit: fc.constantFrom('a', ':', '/', '~', ' ', '\u{1f511}') }).map((text) => JSON.stringify(text)), // prettier-ignore
  fc.json({ maxDepth: 4 }),
  fc.double().map(String),
);

/** Names of fields that no request has, or that objects have already. */
const strangeName = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'appkey', '', 'Name', 'x'.repeat(80), '\u0000', '\u{1f511}'); // prettier-ignore

function fieldValue(field: Field): fc.Arbitrary<string> {
  const known = KNOWN[field.name.toLowerCase()] ?? (/^key$/i.test(field.name) ? KNOWN['name'] : undefined);
  const valid = accepted(field).map((value) => JSON.stringify(value));
  const marked = /^value$/i.test(field.name)
    ? fc.oneof(
        {
          weight: 30,
          arbitrary: accepted(field).map((value) => JSON.stringify(`${MARK_PLACE}${String(value)}`)),
        },
        { weight: 1, arbitrary: fc.constantFrom(20_000, 150_000, 300_000, 600_000).map((length) => `"${MARK_PLACE}${'x'.repeat(length)}"`) }, // prettier-ignore
      )
    : undefined;
  const usual =
    marked ?? (known === undefined ? valid : fc.constantFrom(...known.map((one) => JSON.stringify(one))));
  return fc.oneof(
    { weight: 16, arbitrary: usual },
    { weight: 2, arbitrary: valid },
    { weight: 1, arbitrary: anyJson },
  );
}

/** The bodies that routes read themselves, without a request class. */
function ownFields({ path, access }: Route, { proofs }: Credentials): fc.Arbitrary<[string, string][]> {
  const pairs = (body: object): [string, string][] =>
    Object.entries(body).map(([name, value]) => [JSON.stringify(name), JSON.stringify(value)]);
  if (access === 'event-sender') {
    const user = fc.oneof(
      { ...MOSTLY, arbitrary: fc.constantFrom(...USERS) },
      { weight: 1, arbitrary: plainText },
    );
    return fc.record({ name: user, extra: plainText }, { requiredKeys: [] }).map(pairs);
  }
  if (path !== '/permission/v1alpha1/access') return fc.constant([]);
  const op = fc.oneof(fc.constantFrom('ListSecret?workspace=otmoic', 'ListSecret'), text);
  const perm = fc.record({ dataType: text, group: text, version: text, ops: fc.oneof({ weight: 9, arbitrary: fc.array(op, { maxLength: 4 }) }, { weight: 1, arbitrary: fc.constantFrom(64, 65, 300).map((length) => Array<string>(length).fill('x')) }) }, { requiredKeys: [] }); // prettier-ignore
  const token = fc.oneof(text, fc.stringMatching(/^\$2[aby]\$(04|31|1x)\$[./A-Za-z0-9]{53}$/));
  const timestamp = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, -1, 1e300, '1'));
  const wild = fc.record({ app_key: text, timestamp, token, perm }, { requiredKeys: ['app_key'] });
  return fc
    .oneof({ weight: 30, arbitrary: wild }, { weight: 4, arbitrary: fc.constantFrom(...proofs) })
    .map(pairs);
}

const method = fc.oneof(
  fc.constantFrom(...KNOWN_METHODS),
  fc.constantFrom('post', 'FOO', 'PRI', 'G@T', 'P\u00d6ST', 'POST\t', '', 'M-SEARCH', 'x'.repeat(300)),
);
const TARGET_FORMS: readonly TargetForm[] = ['absolute', 'authority', 'asterisk', 'empty', 'double slash', 'encoded', 'dot segments', 'encoded dot segments', 'trailing slash', 'lower case', 'fragment', 'backslash', 'semicolon', 'not ASCII', 'space', 'no slash', 'system-server', 'system-server', 'system-server', 'system-server, twice', 'query encoded', 'query twice', 'query of many', 'query of a prototype', 'no query', 'long']; // prettier-ignore

const chunk = { size: fc.constantFrom(1, 3, 64, 16_384), extension: fc.constantFrom('', ';a=b', ';a="b"'), trailer: fc.constantFrom('', 'X-T: 1\r\n', 'X-Request-Id: q0\r\n', 'X-Forwarded-For: x\r\n') }; // prettier-ignore
/** Each can be read in two ways; of the values, some are right and some are not. */
const length = fc.constantFrom('<length>', '<length>', '<length>', '0', '+1', '-1', '0x2', '1e1', '1, 1', '1 1', ' <length>', '00<length>', '', '9'.repeat(30), '1000000'); // prettier-ignore
const coding = fc.constantFrom('chunked', 'chunked', 'chunked', 'Chunked', 'xchunked', 'chunked, chunked', 'gzip, chunked', 'chunked, gzip', 'identity', 'gzip', '', ' chunked', '"chunked"', 'chunked\t'); // prettier-ignore
const framing: fc.Arbitrary<Framing> = fc.oneof(
  fc.record({ kind: fc.constant('chunked' as const), ...chunk }),
  fc.constantFrom(-3, -1, 1, 5, 10_000).map((bytes) => ({ kind: 'off by' as const, bytes })),
  fc.record({
    kind: fc.constant('raw' as const),
    isChunked: fc.boolean(),
    headers: fc.array(
      fc.oneof(
        length.map((value): HeaderPair => ['Content-Length', value]),
        coding.map((value): HeaderPair => ['Transfer-Encoding', value]),
        fc.constantFrom<HeaderPair>(
          ['Transfer-Encoding ', 'chunked'],
          ['Content_Length', '1'],
          ['content-length', '<length>'],
        ),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  }),
);

/** A request within the body of one that tells two lengths, the way by which answers are given to others. */
const smuggling: fc.Arbitrary<Change[]> = fc
  .tuple(length, coding, fc.boolean(), fc.boolean(), fc.boolean())
  .map(([size, encoding, isAlone, isChunked, isLengthFirst]) => {
    const both: HeaderPair[] = [['Content-Length', size], ['Transfer-Encoding', encoding]]; // prettier-ignore
    const headers = isLengthFirst ? both : both.reverse();
    return [
      { kind: 'framing', framing: { kind: 'raw', headers, isChunked } },
      { kind: 'body', edit: { kind: 'request', isAlone } },
    ];
  });

const bodyEdit: fc.Arbitrary<BodyEdit> = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }).map((at) => ({ kind: 'cut' as const, at })),
  fc.constantFrom(' ', '\u0000', '}', ',{}', '\n\n').map((text) => ({ kind: 'append' as const, text })),
  fc
    .constantFrom('\ufeff', ' ', '\u0000', '\ufeff\ufeff')
    .map((text) => ({ kind: 'prepend' as const, text })),
  fc.record({ kind: fc.constant('byte' as const), at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.constantFrom(0, 0x22, 0x5c, 0x7b, 0x80, 0xc0, 0xed, 0xff) }), // prettier-ignore
  anyJson.map((text) => ({ kind: 'replace' as const, text })),
  fc.record({ kind: fc.constant('nest' as const), open: fc.constantFrom('[', '{"a":', '[{"a":'), depth: fc.constantFrom(1, 2, 3, 4, 5, 500, 20_000) }), // prettier-ignore
  fc.constantFrom(15, 16, 17, 255, 256, 257, 5_000).map((count) => ({ kind: 'fields' as const, count })),
  fc
    .constantFrom(...Array<number>(20).fill(10), ...Array<number>(9).fill(66_000), 65_536, 3_200_000)
    .map((bytes) => ({ kind: 'pad' as const, bytes })),
  fc.record({ kind: fc.constant('request' as const), isAlone: fc.boolean() }),
);

/** Headers that the service or Node gives a meaning to, and some that have none. */
function header(identities: readonly Identity[]): fc.Arbitrary<HeaderPair> {
  const credentials = identities.flatMap(({ headers }) => headers);
  return fc.oneof(
    fc.constantFrom(...credentials),
    fc.constantFrom<HeaderPair>(
      ['X-Forwarded-For', '10.0.0.1'],
      ['Forwarded', 'for=x'],
      ['X-Remote-User', 'system:serviceaccount:otmoiclp-alice:default'],
      ['X-BFL-USER', 'alice'],
      ['X-BFL-USER', 'bob'],
      ['X-App-Key', 'x'],
      ['X-Real-IP', '127.0.0.2'],
      ['Upgrade', 'websocket'],
      ['Upgrade', 'h2c'],
      ['Connection', 'close'],
      ['Connection', 'keep-alive'],
      ['Connection', 'upgrade'],
      ['Connection', 'X-Access-Token'],
      ['Expect', '100-continue'],
      ['Expect', 'x'],
      ['Content-Encoding', 'gzip'],
      ['Content-Encoding', 'IDENTITY'],
      ['Content-Type', 'text/plain'],
      ['Content-Type', 'application/json; charset=utf-16'],
      ['Content-Type', 'application/json; charset=utf8'],
      ['Content-Type', 'application/json;;'],
      ['Content-Type', ''],
      ['Content-Type', `a${'/'.repeat(5_000)}`],
      ['Host', ''],
      ['Host', 'a, b'],
      ['Origin', 'null'],
      ['Origin', 'http://provider'],
      ['Sec-Fetch-Site', 'cross-site'],
      ['Cookie', `auth_token=${'x;'.repeat(500)}`],
      ['X-Access-Token', ''],
      ['Authorization', 'bearer x'],
      ['Authorization', 'Basic eDp5'],
      ['Authorization', `Bearer ${'a.'.repeat(1_000)}`],
      ['__proto__', 'x'],
      ['constructor', 'x'],
      ['X-HTTP-Method-Override', 'DELETE'],
      ['Trailer', 'X-Request-Id'],
      ['TE', 'trailers'],
      ['If-None-Match', '*'],
      ['If-Match', '*'],
      ['If-Match', '"x"'],
      ['If-Match', 'W/"x"'],
      ['If-Match', '"x", "y"'],
      ['If-Match', 'x'.repeat(2_000)],
      ['Range', 'bytes=0-1'],
      ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'], // prettier-ignore
    ),
    fc.tuple(
      fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/),
      fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,30}$/),
    ),
  );
}

const rawLine = fc.constantFrom('X-A : b', ' folded', '\tfolded', ': x', 'no colon', 'X-A: b\u0000c', 'X-A: b\rc', 'X\u0000A: b', 'X-A: \x7f', '\xe9: b', 'GET /livez HTTP/1.1', 'Content-Length : 5', 'Transfer-Encoding\t: chunked', 'Content-Length: 5\x0b'); // prettier-ignore

/** Changes after which both sides still agree where the request ends. */
function tameChange(identities: readonly Identity[]): fc.Arbitrary<Change> {
  const forms = TARGET_FORMS.filter((form) => !['absolute', 'authority', 'asterisk', 'double slash', 'fragment', 'backslash', 'not ASCII', 'query of many', 'empty', 'space', 'no slash'].includes(form)); // prettier-ignore
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...forms).map((form) => ({ kind: 'target' as const, form })) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('add' as const), header: header(identities), isFirst: fc.boolean() }) }, // prettier-ignore
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('chunked' as const), ...chunk }).map((one) => ({ kind: 'framing' as const, framing: one })) }, // prettier-ignore
    { weight: 3, arbitrary: bodyEdit.map((edit) => ({ kind: 'body' as const, edit })) },
  );
}

function change(identities: readonly Identity[]): fc.Arbitrary<Change> {
  const names = ['X-Request-Id', 'Host', 'Content-Type', 'X-Authorization', 'X-Access-Token', 'Authorization', 'Cookie', 'X-BFL-USER', 'X-Remote-User']; // prettier-ignore
  return fc.oneof(
    { weight: 2, arbitrary: method.map((one) => ({ kind: 'method' as const, method: one })) },
    {
      weight: 6,
      arbitrary: fc.constantFrom(...TARGET_FORMS).map((form) => ({ kind: 'target' as const, form })),
    },
    { weight: 1, arbitrary: fc.constantFrom('HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1', 'HTTP/1.1 ', 'HTTP/1.1 x', '').map((version) => ({ kind: 'version' as const, version })) }, // prettier-ignore
    {
      weight: 1,
      arbitrary: fc.constantFrom('\n', '\r', '\r\r\n').map((text) => ({ kind: 'line end' as const, text })),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), header: header(identities), isFirst: fc.boolean() }) }, // prettier-ignore
    { weight: 2, arbitrary: fc.constantFrom(...names).map((name) => ({ kind: 'without' as const, name })) },
    { weight: 2, arbitrary: fc.constantFrom(...names, 'Content-Length').map((name) => ({ kind: 'twice' as const, name })) }, // prettier-ignore
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('fillers' as const), count: fc.constantFrom(1, 80, 94, 97, 100, 990, 1_000, 1_100, 2_100), length: fc.constantFrom(0, 1, 20, 200) }) }, // prettier-ignore
    { weight: 1, arbitrary: rawLine.map((line) => ({ kind: 'raw line' as const, line })) },
    { weight: 4, arbitrary: framing.map((one) => ({ kind: 'framing' as const, framing: one })) },
    { weight: 5, arbitrary: bodyEdit.map((edit) => ({ kind: 'body' as const, edit })) },
  );
}

/** Returns requests to one route: those that it accepts, and changed ones. */
function requestTo(
  route: Route,
  credentials: Credentials,
  changes: fc.Arbitrary<readonly Change[]>,
): fc.Arbitrary<RequestSpec> {
  const { identities } = credentials;
  const fitting = identities.filter((one) => one.for === route.access);
  const who = fc.oneof(
    { ...MOSTLY, arbitrary: fc.constantFrom(...(fitting.length > 0 ? fitting : identities)) },
    { weight: 1, arbitrary: fc.constantFrom(...identities) },
  );
  const pair = (field: Field): fc.Arbitrary<[string, string]> =>
    fieldValue(field).map((value) => [JSON.stringify(field.name), value]);
  const present = (field: Field): fc.Arbitrary<[string, string][]> =>
    fc.oneof({ weight: field.isOptional ? 2 : 9, arbitrary: pair(field).map((one) => [one]) }, { weight: 1, arbitrary: fc.constant<[string, string][]>([]) }); // prettier-ignore
  const declared = route.body && fc.tuple(...route.body.map(present)).map((lists) => lists.flat());
  const strange = fc.tuple(fc.oneof(strangeName, fc.constantFrom(...(route.body ?? []).map(({ name }) => name), 'x')).map((name) => JSON.stringify(name)), anyJson); // prettier-ignore
  const extra = fc.oneof({ weight: 9, arbitrary: fc.constant<[string, string][]>([]) }, { weight: 1, arbitrary: fc.array(strange, { minLength: 1, maxLength: 3 }) }); // prettier-ignore
  const parameter = (field: Field): fc.Arbitrary<[string, string][]> => {
    const stated = fieldValue(field).map((text): [string, string][] => [[field.name, parameterText(text)]]);
    const absent = { weight: field.isOptional ? 6 : 0, arbitrary: fc.constant<[string, string][]>([]) };
    return fc.oneof({ weight: 3, arbitrary: stated }, absent);
  };
  const strangeParameter = fc.constantFrom<[string, string]>(['user', 'bob'], ['user', 'alice'], ['workspace', 'notes'], ['workspace[]', 'otmoic'], ['workspace', ''], ['%ff', 'x'], ['a', '%00']); // prettier-ignore
  return fc.record({
    route: fc.constant(route),
    who,
    app: fc.oneof({ ...MOSTLY, arbitrary: fc.constantFrom(...APPS) }, { weight: 1, arbitrary: fc.constantFrom('%2e%2e', 'a%2fb', '%ff', '%', '__proto__', '%00', 'a'.repeat(300), '..', '') }), // prettier-ignore
    query: fc
      .tuple(
        fc.tuple(...route.query.map(parameter)),
        fc.oneof(
          { weight: 12, arbitrary: fc.constant<[string, string][]>([]) },
          { weight: 1, arbitrary: strangeParameter.map((one) => [one]) },
        ),
      )
      .map(([stated, more]): [string, string][] => [...stated.flat(), ...more]),
    fields: fc
      .tuple(declared ?? ownFields(route, credentials), extra)
      .map(([own, more]) => [...own, ...more]),
    changes: fc.oneof({ weight: 5, arbitrary: fc.constant<Change[]>([]) }, { weight: 4, arbitrary: changes }),
  });
}

/** A value in a query: what is no text stays as it is, and so does what is not ASCII, as Node's latin1. */
function parameterText(json: string): string {
  return /^"[\w.-]*"$/.test(json) ? json.slice(1, -1) : encodeURIComponent(json);
}

/** Returns one request for each route that is accepted as far as its own form decides, by somebody who may send it; also as system-server writes it. */
export function acceptedRequests(routes: readonly Route[], credentials: Credentials): readonly RequestSpec[] {
  return routes.flatMap((route) => {
    const fitting = credentials.identities.filter((one) => one.for === route.access);
    const made = requestTo(route, credentials, fc.constant([])).map((spec): RequestSpec => ({
      ...spec,
      app: 'otmoiclp',
      changes: [],
    }));
    const [spec] = fc.sample(made, { seed: 1, numRuns: 1 });
    if (spec === undefined) return [];
    const identities = route.path === '/RetrieveSecret' ? fitting : fitting.slice(0, 1);
    const changed: RequestSpec = { ...spec, changes: [{ kind: 'target', form: 'system-server' }] };
    return [
      ...(identities.length > 0 ? identities.map((who) => ({ ...spec, who })) : [spec]),
      ...(route.path === '/RetrieveSecret' ? [changed] : []),
    ];
  });
}

/** Returns connections with one to seven requests of all routes: pipelined more, the service may cut them. */
export function connections(
  routes: readonly Route[],
  credentials: Credentials,
): fc.Arbitrary<ConnectionSpec> {
  const to = (changes: fc.Arbitrary<readonly Change[]>): fc.Arbitrary<RequestSpec> =>
    fc.oneof(
      ...routes.map((route) => ({
        weight: route.access === 'app' ? 4 : 1,
        arbitrary: requestTo(route, credentials, changes),
      })),
    );
  const some = (changed: fc.Arbitrary<Change>): fc.Arbitrary<Change[]> =>
    fc.array(changed, { minLength: 1, maxLength: 2 });
  const tame = to(some(tameChange(credentials.identities)));
  const last = to(
    fc.oneof(
      { weight: 9, arbitrary: some(change(credentials.identities)) },
      { weight: 1, arbitrary: smuggling },
    ),
  );
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  return fc.record({
    // What comes behind a request that can be read in two ways is mostly never read.
    requests: fc
      .tuple(fc.array(tame, { maxLength: 6, size: 'max' }), last)
      .map(([before, one]) => [...before, one]),
    isPipelined: fc.boolean(),
    cuts: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(share, { minLength: 1, maxLength: 3 }) }), // prettier-ignore
    early: fc.oneof(
      { weight: 9, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.record({ at: share, how: fc.constantFrom('end', 'destroy', 'reset') }) },
    ),
  });
}
