/** The five operations of the provider API, which are also the verbs of every layer below. */
export const SECRET_OPERATIONS = [
  'RetrieveSecret',
  'CreateSecret',
  'UpdateSecret',
  'DeleteSecret',
  'ListSecret',
] as const;
export type SecretOperation = (typeof SECRET_OPERATIONS)[number];

/** The provider tuple that a `sysData` entry must state exactly to concern us. */
export const PROVIDER = { dataType: 'secret', group: 'secret.infisical', version: 'v1' } as const;

/** One operation on one workspace. */
export interface Grant {
  readonly operation: SecretOperation;
  readonly workspace: string;
}

/** `<Op>?workspace=<name>`: the form in manifests, in tokens and in compiled sets. */
export function grantKey(operation: SecretOperation, workspace: string): string {
  return `${operation}?workspace=${workspace}`;
}
