import '../bootstrap/hardened-process';
import { SystemClock } from '../time/clock';
import { connectionSettings } from '../config/store-settings';
import { EnvironmentReader, type EnvironmentVariables, readTextFile } from '../config/environment-reader';
import { infisicalConnection } from '../stores/infisical/infisical.module';
import type { LoginCredentials } from '../stores/infisical/auth/login-method';
import { UsageError } from '../errors/operator-errors';
import { runSetup } from '../stores/infisical/setup/run-setup';
import { HELP, parseSetupArguments, type SetupEnvironment } from '../stores/infisical/setup/setup-arguments';
import { BootstrapUnfinished, SetupFailed } from '../stores/infisical/setup/admin-calls';
import type { RouteOptions } from '../stores/infisical/transport/transport-route';

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * The command `npm run infisical:setup`. Returns its exit code: 0 when all is well, 1 when something is missing, 2 for wrong use, 3
 * after a bootstrap that could not go on. @param args without Node and the script
 */
export async function infisicalSetup({
  args,
  env,
  stdout,
  stderr,
}: {
  readonly args: readonly string[];
  readonly env: EnvironmentVariables;
  readonly stdout: { write(text: string): void };
  readonly stderr: { write(text: string): void };
}): Promise<0 | 1 | 2 | 3> {
  try {
    const parsed = parseSetupArguments(args, {
      url: env['INFISICAL_URL'],
      organizationId: givenIn(env, 'INFISICAL_ORGANIZATION_ID'),
    });
    if (parsed === 'help') {
      stdout.write(HELP);
      return 0;
    }
    const print = (text: string): void => stdout.write(text);
    return (await runSetup(parsed, environment(env, parsed.url), new SystemClock(), print)) ? 0 : 1;
  } catch (error: unknown) {
    const isOurs = error instanceof UsageError || error instanceof SetupFailed;
    const kind = error instanceof Error ? error.constructor.name : typeof error;
    stderr.write(`infisical:setup: ${isOurs ? error.message : `it failed unexpectedly (${kind}).`}\n`);
    return error instanceof UsageError ? 2 : error instanceof BootstrapUnfinished ? 3 : 1;
  }
}

function environment(env: EnvironmentVariables, url: string): SetupEnvironment {
  const given = (name: string): string | undefined => givenIn(env, name);
  return {
    adminToken: given('INFISICAL_ADMIN_TOKEN'),
    adminClientId: given('INFISICAL_ADMIN_CLIENT_ID'),
    adminClientSecret: given('INFISICAL_ADMIN_CLIENT_SECRET'),
    email: given('INFISICAL_ADMIN_EMAIL'),
    password: given('INFISICAL_ADMIN_PASSWORD'),
    organization: given('INFISICAL_ADMIN_ORGANIZATION'),
    reviewerJwt: given('KUBERNETES_TOKEN_REVIEWER_JWT'),
    credentials: credentials(given),
    connection: connectionTo(url, env),
  };
}

/** Reads how an Infisical is connected to from the same variables as the service. @throws UsageError */
export function connectionTo(
  url: string,
  env: EnvironmentVariables,
): Pick<RouteOptions, 'authorities' | 'proxyUrl'> {
  const read = new EnvironmentReader(env);
  const settings = connectionSettings(read, env, url);
  if (read.problems.length > 0) throw new UsageError(read.problems.join('; '));
  return infisicalConnection(settings);
}

function credentials(given: (name: string) => string | undefined): LoginCredentials | undefined {
  const identityId = given('INFISICAL_KUBERNETES_IDENTITY_ID');
  if (identityId !== undefined) {
    return { identityId, tokenFile: given('INFISICAL_KUBERNETES_TOKEN_FILE') ?? TOKEN_FILE };
  }
  const [clientId, clientSecret] = [given('INFISICAL_CLIENT_ID'), given('INFISICAL_CLIENT_SECRET')];
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

/** Returns a variable, or the content of the file that `<NAME>_FILE` names; undefined where it is empty. @throws UsageError */
export function givenIn(env: EnvironmentVariables, name: string): string | undefined {
  const file = name.endsWith('_FILE') ? undefined : env[`${name}_FILE`];
  try {
    const value = file === undefined || file === '' ? env[name] : readTextFile(file);
    return value === '' ? undefined : value;
  } catch {
    throw new UsageError(`The file of ${name}_FILE cannot be read.`);
  }
}

async function main(): Promise<void> {
  const { argv, stdout, stderr } = process;
  process.exitCode = await infisicalSetup({ args: argv.slice(2), env: process.env, stdout, stderr });
}

// A test calls the command in its own process.
if (require.main === module) void main();
