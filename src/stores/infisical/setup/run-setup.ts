import { readFile } from 'node:fs/promises';
import type { Clock } from '../../../time/clock';
import { InfisicalClient } from '../transport/infisical-client';
import { DEFAULTS } from '../infisical-options';
import type { LoginCredentials } from '../auth/login-method';
import { identityIn } from '../projects/organization-check';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import type { RouteOptions } from '../transport/transport-route';
import { AdminCalls, fieldsOf, textOf, SetupFailed } from './admin-calls';
import { checkIdentity } from './identity-check';
import * as identity from './machine-identity';
import { WHERE_TO, WrongUsage, type SetupArguments } from './setup-arguments';
import { helmValues, PrivateFile, secretManifest } from './setup-output';

/** What comes from the environment, because an argument can be read by every process of the machine. */
export interface SetupEnvironment {
  readonly adminToken: string | undefined;
  readonly email: string | undefined;
  readonly password: string | undefined;
  readonly organization: string | undefined;
  readonly reviewerJwt: string | undefined;
  /** Of an identity that exists. */
  readonly credentials: LoginCredentials | undefined;
  readonly connection: Pick<RouteOptions, 'authorities' | 'proxyUrl'>;
}

type Say = (text: string) => void;

/** @returns whether all is well. @throws WrongUsage, SetupFailed */
export async function runSetup(
  args: SetupArguments,
  env: SetupEnvironment,
  clock: Clock,
  say: Say,
): Promise<boolean> {
  if (args.mode === 'check') {
    const why =
      '--check needs INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, or INFISICAL_KUBERNETES_IDENTITY_ID.';
    return checked(args, env, required(env.credentials, why), clock, say);
  }
  const client = new InfisicalClient(
    { ...DEFAULTS, ...env.connection, url: args.url },
    new UpstreamRateLimits(clock),
  );
  try {
    const admin =
      args.mode === 'bootstrap' ? await bootstrap(client, env, say) : await given(client, args, env);
    const found = await identity.ensureIdentity(admin.calls, admin.organizationId, args.identityName);
    say(found.made ? 'The machine identity was created.\n' : 'The machine identity is there already.\n');
    return args.kubernetes === undefined
      ? await withUniversalAuth(args, env, { ...admin, ...found }, clock, say)
      : await withKubernetesAuth(args, args.kubernetes, env, { ...admin, ...found }, say);
  } finally {
    client.close();
  }
}

interface Admin {
  readonly calls: AdminCalls;
  readonly organizationId: string;
}

async function bootstrap(client: InfisicalClient, env: SetupEnvironment, say: Say): Promise<Admin> {
  const email = required(env.email, '--bootstrap needs INFISICAL_ADMIN_EMAIL.');
  const password = required(
    env.password,
    '--bootstrap needs INFISICAL_ADMIN_PASSWORD or INFISICAL_ADMIN_PASSWORD_FILE.',
  );
  const organization = required(env.organization, '--bootstrap needs INFISICAL_ADMIN_ORGANIZATION.');
  const why = 'This server cannot be bootstrapped: it is set up already, or older than 2025-03';
  const sent = { email, password, organization };
  const body = await new AdminCalls(client).demand(why, 'POST', '/api/v1/admin/bootstrap', {}, sent);
  const token = textOf(fieldsOf(fieldsOf(body['identity'])['credentials']), 'token');
  say('The server was bootstrapped; its first account is the one of INFISICAL_ADMIN_EMAIL.\n');
  return {
    calls: new AdminCalls(client, token),
    organizationId: textOf(fieldsOf(body['organization']), 'id'),
  };
}

async function given(client: InfisicalClient, args: SetupArguments, env: SetupEnvironment): Promise<Admin> {
  const token = required(
    env.adminToken,
    'INFISICAL_ADMIN_TOKEN or INFISICAL_ADMIN_TOKEN_FILE must hold the token of an admin.',
  );
  const calls = new AdminCalls(client, token);
  if (args.organizationId !== undefined) return { calls, organizationId: args.organizationId };
  const own = identityIn(token);
  const self =
    own === undefined
      ? undefined
      : await calls.ask('GET', '/api/v1/identities/{identityId}', { identityId: own });
  const organizationId = fieldsOf(self?.body['identity'])['orgId'];
  if (typeof organizationId !== 'string')
    throw new WrongUsage('Infisical does not tell the organization: say --organization-id.');
  return { calls, organizationId };
}

async function withUniversalAuth(
  args: SetupArguments,
  env: SetupEnvironment,
  { calls, organizationId, identityId }: Admin & { readonly identityId: string },
  clock: Clock,
  say: Say,
): Promise<boolean> {
  const clientId = await identity.ensureUniversalAuth(calls, identityId);
  const usable = await identity.usableClientSecrets(calls, identityId, clock.nowMs());
  const values = helmValues({ url: args.url, organizationId, login: { secretName: args.secretName } });
  if (usable > 0 && !args.newSecret) {
    say(`It has a client secret already, and no other was made; --new-secret makes one.\n${values}`);
    const own = env.credentials;
    if (own !== undefined && 'clientId' in own && own.clientId === clientId)
      return checked(args, env, own, clock, say);
    say('Not checked: set INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, and run --check.\n');
    return true;
  }
  const clientSecret = await deliveredSecret(
    args,
    clientId,
    () => identity.makeClientSecret(calls, identityId),
    say,
  );
  say(values);
  return checked(args, env, { clientId, clientSecret }, clock, say);
}

/** The client secret is shown once, by Infisical and by us. */
async function deliveredSecret(
  args: SetupArguments,
  clientId: string,
  make: () => Promise<string>,
  say: Say,
): Promise<string> {
  if (args.secretManifest === undefined && !args.printSecret) throw new WrongUsage(WHERE_TO);
  const file = args.secretManifest === undefined ? undefined : await PrivateFile.open(args.secretManifest);
  try {
    const clientSecret = await make();
    await file?.write(secretManifest(args.secretName, clientId, clientSecret));
    if (file !== undefined) say('The Secret was written to the file of --secret-manifest.\n');
    if (args.printSecret) say(`INFISICAL_CLIENT_ID=${clientId}\nINFISICAL_CLIENT_SECRET=${clientSecret}\n`);
    return clientSecret;
  } finally {
    await file?.close();
  }
}

async function withKubernetesAuth(
  args: SetupArguments,
  target: NonNullable<SetupArguments['kubernetes']>,
  env: SetupEnvironment,
  { calls, organizationId, identityId }: Admin & { readonly identityId: string },
  say: Say,
): Promise<boolean> {
  const caCert = target.caFile === undefined ? '' : await textFile(target.caFile);
  await identity.ensureKubernetesAuth(calls, identityId, { ...target, caCert, reviewerJwt: env.reviewerJwt });
  say(helmValues({ url: args.url, organizationId, login: { identityId, audience: target.audience } }));
  say('Not checked: only a pod of the cluster can log in this way. Run --check in it.\n');
  return true;
}

async function checked(
  { url }: SetupArguments,
  { connection }: SetupEnvironment,
  credentials: LoginCredentials,
  clock: Clock,
  say: Say,
): Promise<boolean> {
  const { apiVersion, findings } = await checkIdentity({ ...connection, url }, credentials, clock);
  say(`Checked on a server of the dialect ${apiVersion}.\n`);
  for (const finding of findings) say(`Missing or wrong: ${finding}\n`);
  if (findings.length === 0) say('The identity can do all that the service needs, and is no admin.\n');
  return findings.length === 0;
}

function required<T>(value: T | undefined, why: string): T {
  if (value === undefined) throw new WrongUsage(why);
  return value;
}

async function textFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    throw new SetupFailed('The file of --kubernetes-ca-file cannot be read.');
  }
}
