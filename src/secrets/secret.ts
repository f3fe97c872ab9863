/** The environments of a workspace, as Olares names them; an absent or empty one means `prod`. */
export const ENVIRONMENTS = ['test', 'dev', 'staging', 'prod'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/** UTF-16 code units: what Infisical's routes count. */
export const MAX_NAME_LENGTH = 100;
/** Bytes of UTF-8. */
export const MAX_VALUE_BYTES = 512 * 1024;

/** Where a secret lives. All three compare byte for byte. */
export interface SecretScope {
  readonly user: string;
  readonly workspace: string;
  readonly environment: Environment;
}

export interface Secret {
  readonly name: string;
  readonly value: string;
}
