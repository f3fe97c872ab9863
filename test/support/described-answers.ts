import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020';
import { STATUS_OF } from '../../src/errors/domain-error';
import { openApiDocument } from '../../src/http/openapi/openapi-document';
import type { Answer } from './http-call';

type Operations = Readonly<Record<string, { readonly responses: Readonly<Record<string, object>> }>>;

const document = openApiDocument();
const paths = document['paths'] as Readonly<Record<string, Operations>>;
const ajv = new Ajv2020({ strict: false, validateFormats: false }).addSchema(document, 'openapi');
const templates = Object.keys(paths).map(
  (path) => [path, new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`)] as const,
);
const validators = new Map<string, ValidateFunction>();

/** Requires that /openapi.json states the answer. @throws Error that says what it does not state */
export function requireDescribed(method: string, url: string, { status, body, text }: Answer): void {
  const { pathname } = new URL(url);
  const [path] = templates.find(([, pattern]) => pattern.test(pathname)) ?? [];
  const operation = path === undefined ? undefined : paths[path]?.[method.toLowerCase()];
  if (path === undefined || operation === undefined) {
    // What is no route of the document is refused, or is the document itself.
    const isRefusal = Object.hasOwn(STATUS_OF, String(body?.data?.reason));
    if (status >= 400 && !isRefusal) throw new Error(`${method} ${pathname} answered ${status}: ${text}`);
    return;
  }
  const which = `${method} ${path} with ${status}`;
  if (operation.responses[status] === undefined) throw new Error(`openapi.json does not state ${which}`);
  const pointer = [
    'paths',
    path,
    method.toLowerCase(),
    'responses',
    String(status),
    'content',
    'application/json',
  ];
  const validate = validators.get(which) ?? ajv.compile({ $ref: `openapi#/${[...pointer, 'schema'].map(escaped).join('/')}` }); // prettier-ignore
  validators.set(which, validate);
  if (validate(body)) return;
  const [first] = validate.errors ?? [];
  throw new Error(`openapi.json states ${which} otherwise: ${text.slice(0, 500)} ${JSON.stringify(first)}`);
}

/** Escapes one part of a JSON pointer within a URI. */
function escaped(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}
