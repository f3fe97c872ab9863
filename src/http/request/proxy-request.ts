import { InvalidRequest } from '../../errors/request-errors';
import { grantKey, PROVIDER, type Grant } from '../../authz/grant';
import { parseOp } from '../../authz/sys-data';

/** system-server's ProxyRequest (contract, section 5.1), as far as it concerns us. */
export interface ProxyRequest {
  readonly appKey: string;
  /** What the app asked for; it carries the workspace, which the URI of the call does not. */
  readonly op: unknown;
  readonly tuple: Readonly<Record<'dataType' | 'group' | 'version', unknown>>;
  /** The operation's own body. */
  readonly data: unknown;
}

/** A body with an `appkey` is system-server's or an imitation; no operation of ours has such a field. */
export function proxyRequestIn(body: unknown): ProxyRequest | undefined {
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, 'appkey')) return undefined;
  const { appkey, op, datatype, group, version, data } = body as Record<string, unknown>;
  return {
    appKey: typeof appkey === 'string' ? appkey : '',
    op,
    tuple: { dataType: datatype, group, version },
    data: data ?? {},
  };
}

/** The workspace of the op, where it is the operation that the path names. @throws InvalidRequest */
export function workspaceIn({ op, tuple }: ProxyRequest, path: string, app: string): string {
  for (const key of ['dataType', 'group', 'version'] as const) {
    if (tuple[key] !== PROVIDER[key]) throw new InvalidRequest(key.toLowerCase(), `must be ${PROVIDER[key]}`);
  }
  const parsed = parseOp(op, app);
  if (!isGrant(parsed) || `/${parsed.operation}` !== path) {
    throw new InvalidRequest(
      'op',
      `must be ${grantKey('RetrieveSecret', '<name>').replace('RetrieveSecret', path.slice(1))}`,
    );
  }
  return parsed.workspace;
}

function isGrant(parsed: object): parsed is Grant {
  return 'operation' in parsed;
}
