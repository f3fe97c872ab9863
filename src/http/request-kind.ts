import type { IncomingMessage } from 'node:http';
import type { SecretOperation } from '../grants/grant';
import type { RequestKind } from '../protection/request-budgets';
import { operationOf, pathOf } from './provider-request';

const KIND_OF = {
  RetrieveSecret: 'read',
  ListSecret: 'read',
  CreateSecret: 'write',
  UpdateSecret: 'write',
  DeleteSecret: 'write',
} as const satisfies Record<SecretOperation, RequestKind>;

/** On which budget a request is: that of reads or of writes; undefined for what no app and no user calls. */
export function kindOf(request: IncomingMessage): RequestKind | undefined {
  const path = pathOf(request);
  const operation = operationOf(path);
  if (operation !== undefined) return KIND_OF[operation];
  if (!path.startsWith('/admin/')) return undefined;
  return request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
}
