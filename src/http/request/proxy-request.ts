import { InvalidRequest } from '../../errors/request-errors';
import { grantKey, PROVIDER, type Grant } from '../../authz/grant';
import { parseOp } from '../../authz/sys-data';

/** system-server's ProxyRequest (contract, section 5.1), with the fields that we use. */
export interface ProxyRequest {
  readonly appKey: string;
  /** The operation that the app asked for, with its workspace, which the URI of the call does not have. */
  readonly op: unknown;
  readonly tuple: Readonly<Record<'dataType' | 'group' | 'version', unknown>>;
  /** The operation's own body. */
  readonly data: unknown;
}

/** Returns the ProxyRequest in a body with an `appkey`, which no operation of ours has. It may be forged. */
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

/** Returns the workspace of the op. @throws InvalidRequest where the op is not the operation that the path names */
export function workspaceIn({ op, tuple }: ProxyRequest, path: string, app: string): string {
  for (const key of ['dataType', 'group', 'version'] as const) {
    if (tuple[key] !== PROVIDER[key]) throw new InvalidRequest(key.toLowerCase(), `must be ${PROVIDER[key]}`);
  }
  const parsed = parseOp(op, app);
  if (!isGrant(parsed) || `/${parsed.operation}` !== path) {
    const expected = grantKey('RetrieveSecret', '<name>').replace('RetrieveSecret', path.slice(1));
    throw new InvalidRequest('op', `must be ${expected}`);
  }
  return parsed.workspace;
}

function isGrant(parsed: object): parsed is Grant {
  return 'operation' in parsed;
}
