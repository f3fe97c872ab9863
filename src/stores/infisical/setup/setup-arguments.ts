import { strictArguments, UsageError } from '../../../errors/operator-errors';
import type { LoginCredentials } from '../auth/login-method';
import type { RouteOptions } from '../transport/transport-route';

export type SetupArguments = Exclude<ReturnType<typeof parseSetupArguments>, 'help'>;
export type KubernetesTarget = NonNullable<SetupArguments['kubernetes']>;

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

interface ServiceSettings {
  readonly url?: string | undefined;
  readonly organizationId?: string | undefined;
}

export const WHERE_TO =
  'A client secret is to be made: say where it goes, --secret-manifest FILE or --print-secret.';

const OPTIONS = {
  url: { type: 'string' },
  name: { type: 'string', default: 'olares-secret-provider' },
  'organization-id': { type: 'string' },
  bootstrap: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  kubernetes: { type: 'boolean', default: false },
  'kubernetes-host': { type: 'string', default: 'https://kubernetes.default.svc' },
  'kubernetes-ca-file': { type: 'string' },
  namespace: { type: 'string' },
  'service-account': { type: 'string', default: 'olares-secret-provider' },
  audience: { type: 'string', default: '' },
  'new-secret': { type: 'boolean', default: false },
  'print-secret': { type: 'boolean', default: false },
  'secret-manifest': { type: 'string' },
  'admin-token-file': { type: 'string' },
  force: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  'secret-name': { type: 'string', default: 'olares-secret-provider-infisical' },
} as const;

export const HELP = `npm run infisical:setup -- [options]
Makes the machine identity that the service logs in to Infisical with, or finds it again, and does with it what the service does.

  --url URL                where Infisical is; in its place INFISICAL_URL
  --organization-id ID     where the server does not tell it, as Olares' fork; in its place INFISICAL_ORGANIZATION_ID.
                           Infisical's page shows it in the address bar: /org/<id>/overview
  --name NAME              the identity's name (olares-secret-provider)
  --secret-manifest FILE   write the client secret as a Kubernetes Secret; --secret-name NAME is its name
                           (olares-secret-provider-infisical)
  --print-secret           print it instead, or also
  --new-secret             make another client secret, though one is usable already
  --force                  replace a file that is there
  --kubernetes --namespace NS   Kubernetes Auth in place of a client secret, for the pods of --service-account NAME
                           (olares-secret-provider; the chart's serviceAccount.name); also --audience,
                           --kubernetes-host, --kubernetes-ca-file, KUBERNETES_TOKEN_REVIEWER_JWT
  --bootstrap              a fresh server of 2025-03 or later; INFISICAL_ADMIN_EMAIL, INFISICAL_ADMIN_PASSWORD and
                           INFISICAL_ADMIN_ORGANIZATION. Its admin token is kept in --admin-token-file FILE
  --check                  only verify the identity of INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET
  --help                   this text

It acts as a machine identity with the organization role admin: INFISICAL_ADMIN_CLIENT_ID and INFISICAL_ADMIN_CLIENT_SECRET,
which it logs in with, or the access token of such a login in INFISICAL_ADMIN_TOKEN. The first such identity is made in the
page: Organization Access Control, Identities, role Admin, Universal Auth, a client secret. Each secret also as ..._FILE.

Exit codes: 0 all is well; 1 something is missing; 2 wrong use, nothing was changed; 3 the server was bootstrapped, and what
comes after it failed: what was got is kept.
`;

/**
 * Parses the arguments strictly: an unknown one is refused.
 * @param service the service's own settings, used where there are no arguments
 * @throws UsageError
 */
export function parseSetupArguments(args: readonly string[], service: ServiceSettings = {}) {
  const values = strictArguments(args, OPTIONS);
  if (values.help) return 'help' as const;
  const url = values.url ?? service.url ?? '';
  if (!isAddress(url))
    throw new UsageError('--url (or INFISICAL_URL) must be the http or https address of Infisical.');
  if (values.bootstrap && values.check) throw new UsageError('--bootstrap and --check do not go together.');
  if (values.kubernetes && !values.check && values.namespace === undefined)
    throw new UsageError('--kubernetes needs --namespace, in which the service runs.');
  const makesSecret = (values.bootstrap || values['new-secret']) && !values.kubernetes;
  // A server can be bootstrapped only once, so missing arguments must be found before.
  if (makesSecret && values['secret-manifest'] === undefined && !values['print-secret'])
    throw new UsageError(WHERE_TO);
  refuseIdle(values);
  return {
    // As the service writes it.
    url: new URL(url).href.replace(/\/+$/, ''),
    identityName: values.name,
    organizationId: (values['organization-id'] ?? service.organizationId)?.toLowerCase(),
    mode: values.check ? 'check' : values.bootstrap ? 'bootstrap' : 'setup',
    // In place of Universal Auth.
    kubernetes: values.kubernetes
      ? {
          host: values['kubernetes-host'],
          caFile: values['kubernetes-ca-file'],
          namespace: values.namespace ?? '',
          serviceAccount: values['service-account'],
          audience: values.audience,
        }
      : undefined,
    newSecret: values['new-secret'],
    printSecret: values['print-secret'],
    secretManifest: values['secret-manifest'],
    adminTokenFile: values.bootstrap ? tokenFileOf(values) : undefined,
    force: values.force,
    secretName: values['secret-name'],
  } as const;
}

function isAddress(text: string): boolean {
  return /^https?:\/\/[^\s@?#]+$/i.test(text) && URL.canParse(text);
}

type Values = ReturnType<typeof strictArguments<typeof OPTIONS>>;

/** @throws UsageError for an argument without effect, which was surely meant differently */
function refuseIdle(values: Values): void {
  const makes = (['new-secret', 'print-secret', 'secret-manifest'] as const).filter((name) => values[name]);
  if (values.check && makes.length > 0)
    throw new UsageError('--check makes nothing: leave out what says where a secret goes.');
  if (values.kubernetes && (values['new-secret'] || values['secret-manifest'] !== undefined))
    throw new UsageError(
      '--kubernetes makes no client secret: leave out --new-secret and --secret-manifest.',
    );
  if (values['admin-token-file'] !== undefined && !values.bootstrap)
    throw new UsageError(
      '--admin-token-file is where --bootstrap writes its token; INFISICAL_ADMIN_TOKEN_FILE is one to read.',
    );
  if (!isAddress(values['kubernetes-host']))
    throw new UsageError(
      '--kubernetes-host must be the http or https address of the API server, as Infisical reaches it.',
    );
  if (!/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/.test(values['secret-name']))
    throw new UsageError('--secret-name must be a name that Kubernetes takes.');
  if (values.bootstrap && tokenFileOf(values) === undefined && !values['print-secret'])
    throw new UsageError(
      'A bootstrap gives its admin token once: say where it goes, --admin-token-file FILE or --print-secret.',
    );
}

/** Returns the file beside that of the client secret, unless another one is named. */
function tokenFileOf(values: Values): string | undefined {
  return values['admin-token-file'] ?? besideManifest(values['secret-manifest']);
}

export function besideManifest(manifest: string | undefined): string | undefined {
  return manifest === undefined ? undefined : `${manifest}.admin-token`;
}
