import type { RequestedPermission } from '../grants/access.service';
import type { AppProof } from '../identity/app-proof.verifier';

export interface AccessRequest {
  readonly proof: AppProof;
  readonly permission: RequestedPermission;
}

const MAX_OPS = 64;
const MAX_TEXT_LENGTH = 1024;
const NOT_OF_THE_FORM = 'the request is not of the form {app_key, timestamp, token, perm}';
const TOO_MANY_OPS = `the request has more than ${MAX_OPS} ops; ask for those that are needed, or twice`;

/**
 * Reads `{app_key, timestamp, token, perm}`. Today's clients send more fields than the documented ones (`perm` is a whole
 * struct of theirs), so unknown ones are passed over here, other than everywhere else.
 * Returns what to tell the caller where it is refused.
 */
export function parseAccessRequest(body: unknown): AccessRequest | { readonly refusal: string } {
  const refused = { refusal: NOT_OF_THE_FORM };
  if (!isObject(body) || !isObject(body['perm'])) return refused;
  const { app_key: appKey, timestamp: timestampS, token: hash, perm } = body;
  const { dataType, group, version, ops } = perm;
  if (!isText(appKey) || !isText(hash) || !Number.isSafeInteger(timestampS)) return refused;
  if (!isText(dataType) || !isText(group) || !isText(version)) return refused;
  if (!Array.isArray(ops)) return refused;
  if (ops.length > MAX_OPS) return { refusal: TOO_MANY_OPS };
  if (!ops.every(isText)) return refused;
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
