import { parseArgs } from 'node:util';

/** Wrong use of the command: exit code 2, and the sentence says what to write instead. */
export class WrongUsage extends Error {}

export interface KubernetesTarget {
  /** The cluster's API as Infisical reaches it. */
  readonly host: string;
  readonly caFile: string | undefined;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string;
}

export interface SetupArguments {
  readonly url: string;
  readonly identityName: string;
  readonly organizationId: string | undefined;
  readonly mode: 'setup' | 'bootstrap' | 'check';
  /** Kubernetes Auth in place of Universal Auth. */
  readonly kubernetes: KubernetesTarget | undefined;
  readonly newSecret: boolean;
  readonly printSecret: boolean;
  readonly secretManifest: string | undefined;
  readonly secretName: string;
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
  'secret-name': { type: 'string', default: 'olares-secret-provider-infisical' },
} as const;

/**
 * Strict: what is not known is refused, unread.
 * @param serviceUrl the service's own INFISICAL_URL, which counts where there is no `--url`
 * @throws WrongUsage
 */
export function parseSetupArguments(args: readonly string[], serviceUrl = ''): SetupArguments {
  const values = parsed(args);
  const url = values.url ?? serviceUrl;
  if (!/^https?:\/\/[^\s@?#]+$/.test(url))
    throw new WrongUsage('--url (or INFISICAL_URL) must be the http or https address of Infisical.');
  if (values.bootstrap && values.check) throw new WrongUsage('--bootstrap and --check do not go together.');
  if (values.kubernetes && !values.check && values.namespace === undefined)
    throw new WrongUsage('--kubernetes needs --namespace, in which the service runs.');
  const makesSecret = (values.bootstrap || values['new-secret']) && !values.kubernetes;
  // A server is bootstrapped once: what is missing must be missed before.
  if (makesSecret && values['secret-manifest'] === undefined && !values['print-secret'])
    throw new WrongUsage(WHERE_TO);
  return {
    url: url.replace(/\/+$/, ''),
    identityName: values.name,
    organizationId: values['organization-id'],
    mode: values.check ? 'check' : values.bootstrap ? 'bootstrap' : 'setup',
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
    secretName: values['secret-name'],
  };
}

/** An unknown argument may be a secret in the wrong place: it is not repeated. */
function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch {
    const known = Object.keys(OPTIONS).map((name) => `--${name}`);
    throw new WrongUsage(`An argument is unknown or lacks its value; there are ${known.join(', ')}.`);
  }
}
