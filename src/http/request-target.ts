import { parse, type ParsedUrlQuery } from 'node:querystring';

/** Where a request goes: what routes, rate limits, log and metrics all go by. */
export interface RequestTarget {
  readonly path: string;
  readonly query: ParsedUrlQuery;
}

/** Of a request whose own target was refused. */
export const NO_TARGET: RequestTarget = { path: '', query: {} };

/**
 * Origin form (RFC 9112, 3.2.1): an absolute path with an optional query. Printable ASCII without `#` and `\`, which Node's
 * URL parsers, and so the router, read otherwise than as they stand.
 */
const ORIGIN_FORM = /^\/(?!\/)[!"$-[\]-~]*$/;
const MAX_PARAMETERS = 16;

/** The target of a request; the rule that it breaks where it has none. */
export function parseTarget(url: string): RequestTarget | string {
  if (!ORIGIN_FORM.test(url)) return 'must be an absolute path, with or without a query, and no URL';
  const queryAt = url.indexOf('?');
  if (queryAt < 0) return { path: url, query: parse('') };
  const text = url.slice(queryAt + 1);
  // querystring drops what comes after its thousandth parameter.
  if (text.split('&', MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    return `must have at most ${MAX_PARAMETERS} query parameters`;
  return { path: url.slice(0, queryAt), query: parse(text, '&', '=', { maxKeys: 0 }) };
}
