import { SYSTEM_SERVER_PREFIX } from '../../src/http/request/provider-request';
import type { HeaderPair, Identity } from './credentials';
import type { Route } from './routes';

/** How the length of a body is told, or what is told instead. */
export type Framing =
  | { readonly kind: 'length' }
  | { readonly kind: 'chunked'; readonly size: number; readonly extension: string; readonly trailer: string }
  /** The parser must not find its end where the length says so, nor where the chunks do. */
  | { readonly kind: 'raw'; readonly headers: readonly HeaderPair[]; readonly isChunked: boolean }
  | { readonly kind: 'off by'; readonly bytes: number };

/** One deviation from a well-formed request. */
export type Change =
  | { readonly kind: 'method'; readonly method: string }
  | { readonly kind: 'target'; readonly form: TargetForm }
  | { readonly kind: 'version'; readonly version: string }
  | { readonly kind: 'line end'; readonly text: string }
  | { readonly kind: 'add'; readonly header: HeaderPair; readonly isFirst: boolean }
  | { readonly kind: 'without'; readonly name: string }
  | { readonly kind: 'twice'; readonly name: string }
  | { readonly kind: 'fillers'; readonly count: number; readonly length: number }
  | { readonly kind: 'raw line'; readonly line: string }
  | { readonly kind: 'framing'; readonly framing: Framing }
  | { readonly kind: 'body'; readonly edit: BodyEdit };

export type TargetForm =
  | 'absolute'
  | 'authority'
  | 'asterisk'
  | 'empty'
  | 'double slash'
  | 'encoded'
  | 'dot segments'
  | 'encoded dot segments'
  | 'trailing slash'
  | 'lower case'
  | 'fragment'
  | 'backslash'
  | 'semicolon'
  | 'not ASCII'
  | 'space'
  | 'no slash'
  | 'system-server'
  | 'system-server, twice'
  | 'query encoded'
  | 'query twice'
  | 'query of many'
  | 'query of a prototype'
  | 'no query'
  | 'long';

export type BodyEdit =
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'append'; readonly text: string }
  | { readonly kind: 'prepend'; readonly text: string }
  | { readonly kind: 'byte'; readonly at: number; readonly byte: number }
  | { readonly kind: 'replace'; readonly text: string }
  | { readonly kind: 'nest'; readonly open: string; readonly depth: number }
  | { readonly kind: 'fields'; readonly count: number }
  | { readonly kind: 'pad'; readonly bytes: number }
  /** Another whole request, which must stay a body; alone, it stands where a chunked body would have ended. */
  | { readonly kind: 'request'; readonly isAlone: boolean };

export interface RequestSpec {
  readonly route: Route;
  readonly who: Identity;
  readonly app: string;
  readonly query: readonly (readonly [string, string])[];
  /** Names and values as JSON text, so that a name may come twice and a number may be any. */
  readonly fields: readonly (readonly [string, string])[];
  readonly changes: readonly Change[];
}

/** A request as it is sent. */
export interface SentRequest {
  readonly id: string;
  readonly bytes: Buffer;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly HeaderPair[];
  /** False where its answer cannot be known by the id. */
  readonly hasId: boolean;
  /** True where there is one way to read it: it must be answered, and what follows is the next request. */
  readonly isPlain: boolean;
}

/** Stands in a value for a mark of the request, by which the value is known wherever it appears. */
export const MARK_PLACE = '<mark>';
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const ID = 'X-Request-Id';
/** Node refuses larger heads itself, before there is a request with an id. */
const MAX_HEAD_BYTES = 15_000;

/** Writes a request as bytes. */
export function rendered(spec: RequestSpec, id: string, mark: string): SentRequest {
  const { changes, route, who } = spec;
  const of = <K extends Change['kind']>(kind: K) =>
    changes.filter((change): change is Extract<Change, { kind: K }> => change.kind === kind);
  const method = of('method').at(-1)?.method ?? route.method;
  const target = of('target').reduce((text, { form }) => changed(text, form), targetOf(spec));
  const framing = of('framing').at(-1)?.framing ?? { kind: 'length' };
  // Behind a length that is too short, or the last chunk, it would be a request by all rules.
  const smuggles =
    framing.kind === 'raw'
      ? framing.headers.some(([name]) => name.toLowerCase() === 'content-length')
      : framing.kind !== 'off by';
  const body = of('body').reduce((text, { edit }) => edited(text, edit, () => (smuggles ? smuggled(spec, id) : '')), bodyOf(spec, mark)); // prettier-ignore
  let headers: HeaderPair[] = [[ID, id], ['Host', 'provider'], ...who.headers];
  if (body.length > 0 && !of('add').some(({ header: [name] }) => /^content-type$/i.test(name)))
    headers.push(['Content-Type', 'application/json']);
  for (const { header, isFirst } of of('add'))
    headers = isFirst ? [header, ...headers] : [...headers, header];
  for (const { name } of of('without'))
    if (method !== 'HEAD' || name !== ID) headers = headers.filter(([one]) => one !== name);
  const { frame, bytes } = framed(body, framing);
  headers.push(...frame);
  for (const { name } of of('twice')) headers.push(...headers.filter(([one]) => one === name).slice(0, 1));
  for (const { count, length } of of('fillers'))
    for (let at = 0; at < count; at += 1) headers.push([`A${at % 7}`, 'b'.repeat(length)]);
  const version = of('version').at(-1)?.version ?? 'HTTP/1.1';
  const end = of('line end').at(-1)?.text ?? '\r\n';
  const lines = [`${method} ${target} ${version}`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  for (const { line } of of('raw line')) lines.push(line);
  const head = Buffer.from(lines.map((line) => line + end).join('') + end, 'latin1');
  const ids = headers.filter(([name]) => name.toLowerCase() === ID.toLowerCase());
  const unclear = ['version', 'line end', 'raw line'] as const;
  return {
    id,
    bytes: Buffer.concat([head, bytes]),
    method,
    target,
    headers,
    hasId: ids.length === 1,
    isPlain:
      unclear.every((kind) => of(kind).length === 0) &&
      (framing.kind === 'length' || framing.kind === 'chunked') &&
      headers.filter(([name]) => LENGTH.test(name)).length <= 1 &&
      method !== 'CONNECT' && TOKEN.test(method) && KNOWN_METHODS.has(method) &&
      /^\/[\x21-\x7e]*$/.test(target) && head.length < MAX_HEAD_BYTES && headers.length <= 900 &&
      headers.every(([name, value]) => TOKEN.test(name) && VALUE.test(value) && !CONNECTION.test(name)),
  }; // prettier-ignore
}

/** Those that Node's parser knows; it refuses others as no HTTP. */
export const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH', 'PURGE', 'CONNECT']); // prettier-ignore
/** These say how to read the request, or what follows it. */
const CONNECTION = /^(connection|proxy-connection|keep-alive|upgrade|expect|te)$/i;

const LENGTH = /^(content-length|transfer-encoding)$/i;

function targetOf({ route, app, query }: RequestSpec): string {
  const text = query.map(([name, value]) => `${name}=${value}`).join('&');
  return route.path.replace(':app', app) + (text === '' ? '' : `?${text}`);
}

function changed(target: string, form: TargetForm): string {
  const [path = '', query = ''] = target.split(/\?(.*)/s, 2);
  const asked = query === '' ? '' : `?${query}`;
  switch (form) {
    case 'absolute':
      return `http://provider:8080${target}`;
    case 'authority':
      return 'provider:8080';
    case 'asterisk':
      return '*';
    case 'empty':
      return '';
    case 'double slash':
      return `/${target}`;
    case 'encoded':
      return path.replace(/[A-Za-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`) + asked;
    case 'dot segments':
      return `/x/..${target}`;
    case 'encoded dot segments':
      return `/x/%2e%2e${target}`;
    case 'trailing slash':
      return `${path}/${asked}`;
    case 'lower case':
      return target.toLowerCase();
    case 'fragment':
      return `${target}#x`;
    case 'backslash':
      return `\\${target.slice(1)}`;
    case 'semicolon':
      return `${path};x=y${asked}`;
    case 'not ASCII':
      return `${path}\xf6${asked}`;
    case 'space':
      return `${path} x${asked}`;
    case 'no slash':
      return target.slice(1);
    case 'system-server':
      return SYSTEM_SERVER_PREFIX + target;
    case 'system-server, twice':
      return SYSTEM_SERVER_PREFIX + SYSTEM_SERVER_PREFIX + target;
    case 'query encoded':
      return path + asked.replace(/[a-z]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
    case 'query twice':
      return `${path}?${query}&${query}`;
    case 'query of many':
      return `${path}?${'a=1&'.repeat(1_100)}${query}`;
    case 'query of a prototype':
      return `${path}?__proto__=x&constructor=y&${query}`;
    case 'no query':
      return path;
    case 'long':
      return `${path}?${query}&${'x'.repeat(9_000)}=1`;
  }
}

/** Returns the JSON text of the body; empty for a route that has none. */
function bodyOf({ route, who, fields, query }: RequestSpec, mark: string): Buffer {
  if (route.method === 'GET') return Buffer.alloc(0);
  let text = `{${fields.map(([name, value]) => `${name}:${value}`).join(',')}}`;
  if (who.appKey !== undefined && route.access === 'app') {
    const workspace = query.find(([name]) => name === 'workspace')?.[1] ?? '';
    const op = JSON.stringify(`${route.path.slice(1)}?workspace=${workspace}`);
    text = `{"op":${op},"datatype":"secret","version":"v1","group":"secret.infisical","appkey":"${who.appKey}","data":${text}}`;
  }
  return Buffer.from(text.replaceAll(MARK_PLACE, mark));
}

function smuggled({ who }: RequestSpec, id: string): string {
  const credentials = who.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `0\r\n\r\nPOST /ListSecret?workspace=otmoic HTTP/1.1\r\nX-Request-Id: smuggled-${id}\r\n${credentials}Content-Length: 0\r\n\r\n`;
}

function edited(body: Buffer, edit: BodyEdit, hidden: () => string): Buffer {
  const at = 'at' in edit ? Math.floor(edit.at * body.length) : 0;
  switch (edit.kind) {
    case 'cut':
      return body.subarray(0, at);
    case 'append':
      return Buffer.concat([body, Buffer.from(edit.text)]);
    case 'prepend':
      return Buffer.concat([Buffer.from(edit.text), body]);
    case 'byte':
      return body.length === 0 ? body : Buffer.concat([body.subarray(0, at), Buffer.of(edit.byte), body.subarray(at + 1)]); // prettier-ignore
    case 'replace':
      return Buffer.from(edit.text);
    case 'nest':
      return Buffer.from(`{"name":${edit.open.repeat(edit.depth)}`);
    case 'fields':
      return Buffer.from(`{${Array.from({ length: edit.count }, (_, field) => `"f${field}":1`).join(',')}}`);
    case 'pad':
      return Buffer.concat([body, Buffer.alloc(edit.bytes, ' ')]);
    case 'request':
      return Buffer.from(`${edit.isAlone ? '' : `${body.toString('latin1')}\r\n\r\n`}${hidden()}`, 'latin1');
  }
}

function framed(body: Buffer, framing: Framing): { readonly frame: HeaderPair[]; readonly bytes: Buffer } {
  switch (framing.kind) {
    case 'length':
      return { frame: body.length === 0 ? [] : [['Content-Length', String(body.length)]], bytes: body };
    case 'off by':
      return { frame: [['Content-Length', String(Math.max(0, body.length + framing.bytes))]], bytes: body };
    case 'chunked': {
      const { size, extension, trailer } = framing;
      return { frame: [['Transfer-Encoding', 'chunked']], bytes: chunked(body, size, extension, trailer) };
    }
    case 'raw': {
      const length = String(body.length);
      const frame = framing.headers.map(([name, value]): HeaderPair => [
        name,
        value.replace('<length>', length),
      ]);
      return { frame, bytes: framing.isChunked ? chunked(body, 16_384, '', '') : body };
    }
  }
}

function chunked(body: Buffer, size: number, extension: string, trailer: string): Buffer {
  const parts: Buffer[] = [];
  // A large body in chunks of one byte would take the client longer than the service.
  const step = Math.max(size, Math.ceil(body.length / 200));
  for (let at = 0; at < body.length; at += step) {
    const chunk = body.subarray(at, at + step);
    parts.push(Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)]);
}
