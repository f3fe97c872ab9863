export type {
  CacheOptions,
  CallOptions,
  Environment,
  ListOptions,
  ReadOptions,
  Secret,
  SecretVaultOptions,
  WatchOptions,
} from './options.js';
export { SecretVault } from './secret-vault.js';
export {
  NotGrantedError,
  OutcomeUnknownError,
  PreconditionFailedError,
  RateLimitedError,
  type Reason,
  SecretAlreadyExistsError,
  SecretNotFoundError,
  SecretVaultError,
  UnauthenticatedError,
  UnavailableError,
} from './errors.js';
