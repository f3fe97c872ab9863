import type { InfisicalClient } from '../infisical-client';
import { AdminCalls, fieldsOf, textOf } from './admin-calls';
import { besideManifest } from './setup-arguments';
import { BootstrapUnfinished, SetupFailed } from './setup-failed';
import { required, type AsAdmin, type SetupEnvironment } from './setup-run';

/** A server is bootstrapped once, and gives its token once: it is kept before anything else is done. @throws WrongUsage */
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
      // Nobody needs it any more, unless somebody asked for it.
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
