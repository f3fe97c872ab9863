import { readFile } from 'node:fs/promises';
import { UsageError } from '../../../errors/operator-errors';
import { fieldsOf } from '../../../json/json';
import type { Clock } from '../../../time/clock';
import type { LoginCredentials } from '../auth/login-method';
import { DEFAULTS } from '../create-infisical-secret-store';
import { identityIn } from '../projects/organization-check';
import { InfisicalClient } from '../transport/infisical-client';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import {
  AdminCalls,
  BootstrapUnfinished,
  ensureKubernetesAuth,
  ensureUniversalAuth,
  findIdentity,
  hasUsableSecret,
  makeClientSecret,
  makeIdentity,
  SetupFailed,
  textOf,
} from './admin-calls';
import { checkIdentity } from './identity-check';
import {
  besideManifest,
  type KubernetesTarget,
  type SetupArguments,
  type SetupEnvironment,
  WHERE_TO,
} from './setup-arguments';
import { helmValues, type OutputFiles, outputFiles, secretManifest } from './setup-output';

/** The input of the command, and where it writes. */
interface Run {
  readonly args: SetupArguments;
  readonly env: SetupEnvironment;
  readonly clock: Clock;
  readonly say: (text: string) => void;
}

interface SetupRun extends Run {
  readonly files: OutputFiles;
  readonly caCert: string;
}

/** A run with the calls of an admin in an organization. */
interface AdminRun extends SetupRun {
  readonly calls: AdminCalls;
  readonly organizationId: string;
}

/** Sets the identity up as an admin: by a bootstrap, a token or a login. */
type SetUpAsAdmin = (client: InfisicalClient, run: SetupRun) => Promise<boolean>;

/** Returns whether every check passed. @throws UsageError before anything is changed, SetupFailed */
export async function runSetup(
  args: SetupArguments,
  env: SetupEnvironment,
  clock: Clock,
  say: Run['say'],
): Promise<boolean> {
  const run = { args, env, clock, say };
  if (args.mode === 'check') {
    const why =
      '--check needs INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, or INFISICAL_KUBERNETES_IDENTITY_ID.';
    return checked(run, required(env.credentials, why));
  }
  // Finds every error that can be known before the first call.
  const setUpAsAdmin = args.mode === 'bootstrap' ? bootstrapAs(env) : adminAs(args, env);
  const caCert = args.kubernetes?.caFile === undefined ? '' : await textFile(args.kubernetes.caFile);
  const files = await outputFiles(args);
  const options = { ...DEFAULTS, ...env.connection, url: args.url };
  const client = new InfisicalClient(options, new UpstreamRateLimits(clock));
  try {
    return await setUpAsAdmin(client, { ...run, files, caCert });
  } finally {
    client.close();
    await files.manifest?.close();
    await files.adminToken?.close();
  }
}

/** @throws UsageError */
function required<T>(value: T | undefined, why: string): T {
  if (value === undefined) throw new UsageError(why);
  return value;
}

/** Bootstraps the server, which is possible only once and shows the token only once: it is written before the next step. @throws UsageError */
function bootstrapAs(env: SetupEnvironment): SetUpAsAdmin {
  const email = required(env.email, '--bootstrap needs INFISICAL_ADMIN_EMAIL.');
  const password = required(
    env.password,
    '--bootstrap needs INFISICAL_ADMIN_PASSWORD or INFISICAL_ADMIN_PASSWORD_FILE.',
  );
  const organization = required(env.organization, '--bootstrap needs INFISICAL_ADMIN_ORGANIZATION.');
  return async (client, run) => {
    const { args, say, files } = run;
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
      const isWell = await setUp({ ...run, calls: new AdminCalls(client, token), organizationId });
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
  const why = 'This server cannot be bootstrapped';
  if (answer.status === 404)
    throw new SetupFailed(`${why}: it has no such route, so that it is older than 2025-03.`);
  throw calls.refused(why, answer, call);
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

/** Acts as a machine identity with the organization role admin, by its token or its credentials. @throws UsageError */
function adminAs(args: SetupArguments, env: SetupEnvironment): SetUpAsAdmin {
  const { adminToken, adminClientId: clientId, adminClientSecret: clientSecret } = env;
  if (adminToken === undefined && (clientId === undefined || clientSecret === undefined))
    throw new UsageError(
      'INFISICAL_ADMIN_TOKEN or INFISICAL_ADMIN_TOKEN_FILE must hold the token of an admin, or INFISICAL_ADMIN_CLIENT_ID and INFISICAL_ADMIN_CLIENT_SECRET what it logs in with.',
    );
  return async (client, run) => {
    const call = ['POST', '/api/v1/auth/universal-auth/login', {}, { clientId, clientSecret }] as const;
    const logIn = () => new AdminCalls(client).demand('The admin identity could not log in', ...call);
    const token = adminToken ?? textOf(await logIn(), 'accessToken');
    const calls = new AdminCalls(client, token);
    const organizationId = args.organizationId ?? (await organizationOf(calls, token));
    return setUp({ ...run, calls, organizationId });
  };
}

/** @throws UsageError where the server does not name it; SetupFailed where it refuses the token */
async function organizationOf(calls: AdminCalls, token: string): Promise<string> {
  const identityId = identityIn(token) ?? 'unknown';
  const call = ['GET', '/api/v1/identities/{identityId}', { identityId }] as const;
  const answer = await calls.ask(...call);
  const organizationId = fieldsOf(answer.body['identity'])['orgId'];
  if (typeof organizationId === 'string') return organizationId;
  if (answer.status === 404)
    throw new UsageError(
      "Infisical does not tell the organization: say --organization-id. Infisical's page shows it in the address bar, /org/<id>/overview.",
    );
  const why = 'The organization could not be found out; --organization-id names it';
  throw calls.refused(why, answer, call);
}

async function setUp(run: AdminRun): Promise<boolean> {
  const { args, clock, say, calls, organizationId } = run;
  const found = await findIdentity(calls, organizationId, args.identityName);
  const makesSecret =
    args.kubernetes === undefined &&
    (found === undefined || !(await hasUsableSecret(calls, found, clock.nowMs())) || args.newSecret);
  // Checked before anything is created.
  if (makesSecret && args.secretManifest === undefined && !args.printSecret) throw new UsageError(WHERE_TO);
  const identityId = found ?? (await makeIdentity(calls, organizationId, args.identityName));
  say(`The machine identity ${found === undefined ? 'was created' : 'is there already'}.\n`);
  return args.kubernetes === undefined
    ? withUniversalAuth(run, identityId, makesSecret)
    : withKubernetesAuth(run, identityId, args.kubernetes);
}

async function withUniversalAuth(run: AdminRun, identityId: string, makesSecret: boolean): Promise<boolean> {
  const { args, env, say, calls, organizationId, files } = run;
  const clientId = await ensureUniversalAuth(calls, identityId);
  const values = helmValues(args.url, organizationId, { secretName: args.secretName });
  if (!makesSecret) {
    say(`It has a client secret already, and no other was made; --new-secret makes one.\n${values}`);
    const own = env.credentials;
    if (own !== undefined && 'clientId' in own && own.clientId === clientId) return checked(run, own);
    say('Not checked: set INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, and run --check.\n');
    return true;
  }
  // Infisical and we show it only once.
  const clientSecret = await makeClientSecret(calls, identityId);
  await files.manifest?.write(secretManifest(args.secretName, clientId, clientSecret));
  if (files.manifest !== undefined) say('The Secret was written to the file of --secret-manifest.\n');
  if (args.printSecret) say(`INFISICAL_CLIENT_ID=${clientId}\nINFISICAL_CLIENT_SECRET=${clientSecret}\n`);
  say(values);
  return checked(run, { clientId, clientSecret });
}

async function withKubernetesAuth(
  { args, env, say, caCert, calls, organizationId }: AdminRun,
  identityId: string,
  target: KubernetesTarget,
): Promise<boolean> {
  await ensureKubernetesAuth(calls, identityId, { ...target, caCert, reviewerJwt: env.reviewerJwt });
  const { audience, serviceAccount } = target;
  say(helmValues(args.url, organizationId, { identityId, audience, serviceAccount }));
  say('Not checked: only a pod of the cluster can log in this way. Run --check in it.\n');
  return true;
}

async function checked({ args, env, clock, say }: Run, credentials: LoginCredentials): Promise<boolean> {
  const { url, organizationId } = args;
  const connection = { ...env.connection, url, ...(organizationId !== undefined && { organizationId }) };
  const { apiVersion, findings } = await checkIdentity(connection, credentials, clock);
  say(`Checked on a server of the dialect ${apiVersion}.\n`);
  for (const finding of findings) say(`Missing or wrong: ${finding}\n`);
  if (findings.length === 0) say('The identity can do all that the service needs, and is no admin.\n');
  return findings.length === 0;
}

async function textFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    throw new SetupFailed('The file of --kubernetes-ca-file cannot be read.');
  }
}
