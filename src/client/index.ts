export type * from './options.js';
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
