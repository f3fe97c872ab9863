import { fieldsOf } from '../../../json/json';
import type { Clock } from '../../../time/clock';
import type { InfisicalClient } from '../transport/infisical-client';
import type { LoginCredentials } from '../auth/login-method';
import type { RouteOptions } from '../transport/transport-route';
import { AdminCalls, textOf, BootstrapUnfinished, SetupFailed } from './admin-calls';
import { WrongUsage, type SetupArguments, besideManifest } from './setup-arguments';
import type { PrivateFile } from './setup-output';

/** The secrets from the environment: an argument can be read by every process of the machine. */
export interface SetupEnvironment {
  readonly adminToken: string | undefined;
  /** The credentials of an admin's machine identity, used where there is no token. */
  readonly adminClientId: string | undefined;
  readonly adminClientSecret: string | undefined;
  readonly email: string | undefined;
  readonly password: string | undefined;
  readonly organization: string | undefined;
  readonly reviewerJwt: string | undefined;
  /** The credentials of an existing identity. */
  readonly credentials: LoginCredentials | undefined;
  readonly connection: Pick<RouteOptions, 'authorities' | 'proxyUrl'>;
}

type Say = (text: string) => void;

/** The input of the command, and where it writes. */
export interface Run {
  readonly args: SetupArguments;
  readonly env: SetupEnvironment;
  readonly clock: Clock;
  readonly say: Say;
}

/** The files that are opened before anything is sent. */
export interface OutputFiles {
  readonly manifest?: PrivateFile;
  readonly adminToken?: PrivateFile;
}

export interface Admin {
  readonly calls: AdminCalls;
  readonly organizationId: string;
}

type Work = (admin: Admin) => Promise<boolean>;
/** Runs `work` as an admin: by a bootstrap, a token or a login. */
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

/** Bootstraps the server, which is possible only once and shows the token only once: it is written before the next step. @throws WrongUsage */
export function bootstrapAs(env: SetupEnvironment): AsAdmin {
  const email = required(env.email, '--bootstrap needs INFISICAL_ADMIN_EMAIL.');
  const password = required(
    env.password,
    '--bootstrap needs INFISICAL_ADMIN_PASSWORD or INFISICAL_ADMIN_PASSWORD_FILE.',
  );
  const organization = required(env.organization, '--bootstrap needs INFISICAL_ADMIN_ORGANIZATION.');
  return async (client, { args, say, files }, work) => {
    const body = await bootstrap(client, { email, password, organization });
    say('The server was bootstrapped; its first account is the one of INFISICAL_ADMIN_EMAIL.\n');
    let organizationId: string | undefined;
    let kept = 'not in its answer';
    try {
      const token = textOf(fieldsOf(fieldsOf(body['identity'])['credentials']), 'token');
      kept = 'lost: it could not be written';
      if (args.printSecret) say(`INFISICAL_ADMIN_TOKEN=${token}\n`);
      if (args.printSecret) kept = 'printed above';
      await files.adminToken?.write(token);
      if (args.adminTokenFile !== undefined) kept = `kept in ${args.adminTokenFile}`;
      organizationId = textOf(fieldsOf(body['organization']), 'id');
      const isWell = await work({ calls: new AdminCalls(client, token), organizationId });
      // The token is not needed any more, unless a file for it was named.
      if (isWell && args.adminTokenFile === besideManifest(args.secretManifest))
        await files.adminToken?.remove();
      return isWell;
    } catch (error: unknown) {
      const why = error instanceof SetupFailed ? error.message : 'It failed unexpectedly.';
      throw new BootstrapUnfinished(`${why} ${goOn(kept, organizationId)}`);
    }
  };
}

async function bootstrap(
  client: InfisicalClient,
  sent: Readonly<Record<'email' | 'password' | 'organization', string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const calls = new AdminCalls(client);
  const call = ['POST', '/api/v1/admin/bootstrap', {}, sent] as const;
  const answer = await calls.ask(...call);
  if (answer.status === 200) return answer.body;
  const isMissing = answer.status === 404;
  throw isMissing
    ? new SetupFailed(
        'This server cannot be bootstrapped: it has no such route, so that it is older than 2025-03.',
      )
    : calls.refused('This server cannot be bootstrapped', answer, [...call]);
}

function goOn(kept: string, organizationId: string | undefined): string {
  const id = organizationId === undefined ? '' : ` --organization-id ${organizationId}`;
  return [
    `The server was bootstrapped all the same; its admin token is ${kept}.`,
    `Run this again without --bootstrap, with${id === '' ? '' : `${id} and`} that token as INFISICAL_ADMIN_TOKEN.`,
    'Where the server refuses it, as v4 does by its defaults: log in to its page as INFISICAL_ADMIN_EMAIL, make a machine identity with the',
    'organization role admin and a client secret, and give both as INFISICAL_ADMIN_CLIENT_ID and INFISICAL_ADMIN_CLIENT_SECRET.',
  ].join(' ');
}
