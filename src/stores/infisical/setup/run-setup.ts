import { fieldsOf } from '../../../json/json';
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../../time/clock';
import { InfisicalClient } from '../transport/infisical-client';
import { DEFAULTS } from '../create-infisical-secret-store';
import type { LoginCredentials } from '../auth/login-method';
import { identityIn } from '../projects/organization-check';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import { AdminCalls, textOf, SetupFailed } from './admin-calls';
import {
  bootstrapAs,
  required,
  type Admin,
  type AsAdmin,
  type OutputFiles,
  type Run,
  type SetupEnvironment,
} from './setup-run';
import { checkIdentity } from './identity-check';
import * as identity from './machine-identity';
import { WHERE_TO, WrongUsage, type KubernetesTarget, type SetupArguments } from './setup-arguments';
import { helmValues, PrivateFile, secretManifest } from './setup-output';

/** Returns whether every check passed. @throws WrongUsage before anything is changed, SetupFailed */
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
  const logIn = args.mode === 'bootstrap' ? bootstrapAs(env) : adminAs(args, env);
  const caCert = args.kubernetes?.caFile === undefined ? '' : await textFile(args.kubernetes.caFile);
  const files = await outputFiles(args);
  const client = new InfisicalClient(
    { ...DEFAULTS, ...env.connection, url: args.url },
    new UpstreamRateLimits(clock),
  );
  try {
    return await logIn(client, { ...run, files }, (admin) => setUp({ ...run, files, caCert }, admin));
  } finally {
    client.close();
    await files.manifest?.close();
    await files.adminToken?.close();
  }
}

async function outputFiles({
  secretManifest: path,
  adminTokenFile,
  force,
}: SetupArguments): Promise<OutputFiles> {
  const manifest = path === undefined ? undefined : await PrivateFile.open(path, '--secret-manifest', force);
  if (adminTokenFile === undefined) return manifest === undefined ? {} : { manifest };
  try {
    const adminToken = await PrivateFile.open(adminTokenFile, '--admin-token-file', force);
    return manifest === undefined ? { adminToken } : { manifest, adminToken };
  } catch (error: unknown) {
    await manifest?.close();
    throw error;
  }
}

/** Acts as a machine identity with the organization role admin, by its token or its credentials. @throws WrongUsage */
function adminAs(args: SetupArguments, env: SetupEnvironment): AsAdmin {
  const { adminToken, adminClientId: clientId, adminClientSecret: clientSecret } = env;
  if (adminToken === undefined && (clientId === undefined || clientSecret === undefined))
    throw new WrongUsage(
      'INFISICAL_ADMIN_TOKEN or INFISICAL_ADMIN_TOKEN_FILE must hold the token of an admin, or INFISICAL_ADMIN_CLIENT_ID and INFISICAL_ADMIN_CLIENT_SECRET what it logs in with.',
    );
  return async (client, _, work) => {
    const token = adminToken ?? (await adminLogin(client, { clientId, clientSecret }));
    const calls = new AdminCalls(client, token);
    return work({ calls, organizationId: args.organizationId ?? (await organizationOf(calls, token)) });
  };
}

async function adminLogin(client: InfisicalClient, sent: Readonly<Record<string, unknown>>): Promise<string> {
  const why = 'The admin identity could not log in';
  const login = '/api/v1/auth/universal-auth/login';
  return textOf(await new AdminCalls(client).demand(why, 'POST', login, {}, sent), 'accessToken');
}

/** @throws WrongUsage where the server does not name it; SetupFailed where it refuses the token */
async function organizationOf(calls: AdminCalls, token: string): Promise<string> {
  const own = identityIn(token);
  const call = ['GET', '/api/v1/identities/{identityId}', { identityId: own ?? 'unknown' }] as const;
  const answer = await calls.ask(...call);
  const organizationId = fieldsOf(answer.body['identity'])['orgId'];
  if (typeof organizationId === 'string') return organizationId;
  if (answer.status === 404)
    throw new WrongUsage(
      "Infisical does not tell the organization: say --organization-id. Infisical's page shows it in the address bar, /org/<id>/overview.",
    );
  throw calls.refused('The organization could not be found out; --organization-id names it', answer, [
    ...call,
  ]);
}

async function setUp(
  run: Run & { readonly files: OutputFiles; readonly caCert: string },
  { calls, organizationId }: Admin,
): Promise<boolean> {
  const { args, clock, say } = run;
  const found = await identity.findIdentity(calls, organizationId, args.identityName);
  const isUsable =
    found !== undefined &&
    args.kubernetes === undefined &&
    (await identity.hasUsableSecret(calls, found, clock.nowMs()));
  const makesSecret = args.kubernetes === undefined && (args.newSecret || !isUsable);
  // Checked before anything is created.
  if (makesSecret && args.secretManifest === undefined && !args.printSecret) throw new WrongUsage(WHERE_TO);
  const identityId = found ?? (await identity.makeIdentity(calls, organizationId, args.identityName));
  say(
    found === undefined ? 'The machine identity was created.\n' : 'The machine identity is there already.\n',
  );
  const admin = { calls, organizationId, identityId };
  if (args.kubernetes !== undefined) return withKubernetesAuth(run, args.kubernetes, admin);
  return withUniversalAuth(run, admin, makesSecret);
}

async function withUniversalAuth(
  run: Run & { readonly files: OutputFiles },
  { calls, organizationId, identityId }: Admin & { readonly identityId: string },
  makesSecret: boolean,
): Promise<boolean> {
  const { args, env, say } = run;
  const clientId = await identity.ensureUniversalAuth(calls, identityId);
  const values = helmValues({ url: args.url, organizationId, login: { secretName: args.secretName } });
  if (!makesSecret) {
    say(`It has a client secret already, and no other was made; --new-secret makes one.\n${values}`);
    const own = env.credentials;
    if (own !== undefined && 'clientId' in own && own.clientId === clientId) return checked(run, own);
    say('Not checked: set INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, and run --check.\n');
    return true;
  }
  const clientSecret = await identity.makeClientSecret(calls, identityId);
  await deliver(run, clientId, clientSecret);
  say(values);
  return checked(run, { clientId, clientSecret });
}

/** Shows the client secret, which Infisical and we show only once. */
async function deliver(
  { args, say, files }: Run & { readonly files: OutputFiles },
  clientId: string,
  clientSecret: string,
): Promise<void> {
  await files.manifest?.write(secretManifest(args.secretName, clientId, clientSecret));
  if (files.manifest !== undefined) say('The Secret was written to the file of --secret-manifest.\n');
  if (args.printSecret) say(`INFISICAL_CLIENT_ID=${clientId}\nINFISICAL_CLIENT_SECRET=${clientSecret}\n`);
}

async function withKubernetesAuth(
  { args, env, say, caCert }: Run & { readonly caCert: string },
  target: KubernetesTarget,
  { calls, organizationId, identityId }: Admin & { readonly identityId: string },
): Promise<boolean> {
  await identity.ensureKubernetesAuth(calls, identityId, { ...target, caCert, reviewerJwt: env.reviewerJwt });
  say(helmValues({ url: args.url, organizationId, login: { identityId, audience: target.audience } }));
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
