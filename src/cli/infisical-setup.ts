import '../bootstrap/inspector-signal';
import { SystemClock } from '../time/clock';
import { connectionSettings } from '../config/connection-settings';
import { EnvironmentReader } from '../config/environment-reader';
import { readTextFile } from '../config/secret-source';
import { infisicalConnection } from '../stores/infisical/infisical.module';
import type { LoginCredentials } from '../stores/infisical/auth/login-method';
import { runSetup } from '../stores/infisical/setup/run-setup';
import { HELP, parseSetupArguments, WrongUsage } from '../stores/infisical/setup/setup-arguments';
import { BootstrapUnfinished, SetupFailed } from '../stores/infisical/setup/admin-calls';
import type { SetupEnvironment } from '../stores/infisical/setup/setup-run';
import type { RouteOptions } from '../stores/infisical/transport/transport-route';

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** The command `npm run infisical:setup`: exit code 0 when all is well, 1 when something is missing, 2 for wrong use, 3 after a bootstrap that could not go on. */
async function main(): Promise<void> {
  const args = parseSetupArguments(process.argv.slice(2), {
    url: process.env['INFISICAL_URL'],
    organizationId: given('INFISICAL_ORGANIZATION_ID'),
  });
  if (args === 'help') return void process.stdout.write(HELP);
  const allIsWell = await runSetup(args, environment(args.url), new SystemClock(), (text) =>
    process.stdout.write(text),
  );
  if (!allIsWell) process.exitCode = 1;
}

function environment(url: string): SetupEnvironment {
  return {
    adminToken: given('INFISICAL_ADMIN_TOKEN'),
    adminClientId: given('INFISICAL_ADMIN_CLIENT_ID'),
    adminClientSecret: given('INFISICAL_ADMIN_CLIENT_SECRET'),
    email: given('INFISICAL_ADMIN_EMAIL'),
    password: given('INFISICAL_ADMIN_PASSWORD'),
    organization: given('INFISICAL_ADMIN_ORGANIZATION'),
    reviewerJwt: given('KUBERNETES_TOKEN_REVIEWER_JWT'),
    credentials: credentials(),
    connection: connection(url),
  };
}

/** Reads the connection from the same variables as the service. */
function connection(url: string): Pick<RouteOptions, 'authorities' | 'proxyUrl'> {
  const read = new EnvironmentReader(process.env);
  const settings = connectionSettings(read, process.env, url);
  if (read.problems.length > 0) throw new WrongUsage(read.problems.join('; '));
  return infisicalConnection(settings);
}

function credentials(): LoginCredentials | undefined {
  const identityId = given('INFISICAL_KUBERNETES_IDENTITY_ID');
  if (identityId !== undefined) {
    return { identityId, tokenFile: given('INFISICAL_KUBERNETES_TOKEN_FILE') ?? TOKEN_FILE };
  }
  const [clientId, clientSecret] = [given('INFISICAL_CLIENT_ID'), given('INFISICAL_CLIENT_SECRET')];
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

function given(name: string): string | undefined {
  const file = name.endsWith('_FILE') ? undefined : process.env[`${name}_FILE`];
  try {
    const value = file === undefined || file === '' ? process.env[name] : readTextFile(file);
    return value === '' ? undefined : value;
  } catch {
    throw new WrongUsage(`The file of ${name}_FILE cannot be read.`);
  }
}

main().catch((error: unknown) => {
  const isOurs = error instanceof WrongUsage || error instanceof SetupFailed;
  const kind = error instanceof Error ? error.constructor.name : typeof error;
  process.stderr.write(`infisical:setup: ${isOurs ? error.message : `it failed unexpectedly (${kind}).`}\n`);
  process.exitCode = error instanceof WrongUsage ? 2 : error instanceof BootstrapUnfinished ? 3 : 1;
});
