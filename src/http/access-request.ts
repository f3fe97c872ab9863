import type { RequestedPermission } from '../grants/access.service';
import type { AppProof } from '../identity/app-proof.verifier';

export interface AccessRequest {
  readonly proof: AppProof;
  readonly permission: RequestedPermission;
}

const MAX_OPS = 64;
const MAX_TEXT_LENGTH = 1024;

/**
 * Reads `{app_key, timestamp, token, perm}`. Today's clients send more fields than the documented ones (`perm` is a whole
 * struct of theirs), so unknown ones are passed over here, other than everywhere else.
 */
export function parseAccessRequest(body: unknown): AccessRequest | undefined {
  if (!isObject(body) || !isObject(body['perm'])) return undefined;
  const { app_key: appKey, timestamp: timestampS, token: hash, perm } = body;
  const { dataType, group, version, ops } = perm;
  if (!isText(appKey) || !isText(hash) || !Number.isSafeInteger(timestampS)) return undefined;
  if (!isText(dataType) || !isText(group) || !isText(version)) return undefined;
  if (!Array.isArray(ops) || ops.length > MAX_OPS || !ops.every(isText)) return undefined;
  return {
    proof: { appKey, timestampS: timestampS as number, hash },
    permission: { dataType, group, version, ops },
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT_LENGTH;
}
