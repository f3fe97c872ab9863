import type { Clock } from '../../../clock/clock';
import type { InfisicalClient } from '../infisical-client';
import type { Credentials } from '../login-method';
import type { RouteOptions } from '../wire-route';
import type { AdminCalls } from './admin-calls';
import { WrongUsage, type SetupArguments } from './setup-arguments';
import type { PrivateFile } from './setup-output';

/** What comes from the environment, because an argument can be read by every process of the machine. */
export interface SetupEnvironment {
  readonly adminToken: string | undefined;
  /** Of an admin's machine identity, to log in with where there is no token. */
  readonly adminClientId: string | undefined;
  readonly adminClientSecret: string | undefined;
  readonly email: string | undefined;
  readonly password: string | undefined;
  readonly organization: string | undefined;
  readonly reviewerJwt: string | undefined;
  /** Of an identity that exists. */
  readonly credentials: Credentials | undefined;
  readonly connection: Pick<RouteOptions, 'authorities' | 'proxyUrl'>;
}

type Say = (text: string) => void;

/** What the command goes by and where it tells. */
export interface Run {
  readonly args: SetupArguments;
  readonly env: SetupEnvironment;
  readonly clock: Clock;
  readonly say: Say;
}

/** Opened before anything is sent. */
export interface OutputFiles {
  readonly manifest?: PrivateFile;
  readonly adminToken?: PrivateFile;
}

export interface Admin {
  readonly calls: AdminCalls;
  readonly organizationId: string;
}

type Work = (admin: Admin) => Promise<boolean>;
/** Does the work as an admin, however it becomes one. */
export type AsAdmin = (
  client: InfisicalClient,
  run: Run & { readonly files: OutputFiles },
  work: Work,
) => Promise<boolean>;

/** @throws WrongUsage */
export function required<T>(value: T | undefined, why: string): T {
  if (value === undefined) throw new WrongUsage(why);
  return value;
}
