import { SECRET_OPERATIONS } from '../../authz/grant';
import type { KubernetesGrantSettings } from '../../config/grant-settings';
import type { Settings } from '../../config/settings';
import { kubeConfigConnection } from '../../kubernetes/kube-config';
import { KubeConfigUnusable, KubernetesApi, kubernetesFailureOf } from '../../kubernetes/kubernetes-api';
import { SystemMonotonicTime } from '../../time/clock';
import { type CheckResult, failed, ok, skipped } from './checks';
import { type NoteSkew, skewOf } from './dependency-checks';

/** One row of docs/kubernetes.md: on resources, without a namespace in all of them, or on a URL. */
export type NeededRight = { readonly verbs: readonly string[] } & (
  | { readonly group: string; readonly resource: string; readonly namespace?: string }
  | { readonly url: string }
);

const WATCHED = ['list', 'watch'];

/** Returns what docs/kubernetes.md says that the ServiceAccount needs with these settings. */
export function neededRights(grants: KubernetesGrantSettings): readonly NeededRight[] {
  const { feeds, olares, registration, approvalsNamespace } = grants;
  const byPermissions = feeds.includes('application-permissions');
  const byRoles = registration !== undefined && registration.kind !== 'provider-registry';
  const byRegistry = registration !== undefined && registration.kind !== 'rbac';
  const roles = byRoles ? [...WATCHED, 'create', 'patch', 'delete'] : ['list'];
  const rbac = 'rbac.authorization.k8s.io';
  return [
    ...(byPermissions
      ? [{ group: 'sys.bytetrade.io', resource: 'applicationpermissions', verbs: WATCHED }]
      : []),
    ...(byPermissions || olares.provider !== undefined
      ? [{ group: 'app.bytetrade.io', resource: 'applicationmanagers', verbs: WATCHED }]
      : []),
    { group: '', resource: 'namespaces', verbs: WATCHED },
    { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: WATCHED },
    { group: 'authentication.k8s.io', resource: 'tokenreviews', verbs: ['create'] },
    ...podRights(grants),
    ...(byRegistry
      ? [
          {
            group: 'sys.bytetrade.io',
            resource: 'providerregistries',
            verbs: [...WATCHED, 'create', 'patch'],
          },
        ]
      : []),
    ...(byRoles || olares.release === 'auto'
      ? [{ group: rbac, resource: 'clusterroles', verbs: roles }]
      : []),
    ...(byRoles ? [{ group: rbac, resource: 'clusterrolebindings', verbs: roles }] : []),
    ...(registration !== undefined
      ? [
          {
            group: 'apr.bytetrade.io',
            resource: 'syseventregistries',
            verbs: [...WATCHED, 'create', 'patch'],
            namespace: registration.endpoint.namespace,
          },
        ]
      : []),
    ...(byRoles
      ? SECRET_OPERATIONS.map((operation) => ({ url: `/${operation}?workspace=*`, verbs: ['create'] }))
      : []),
    ...(approvalsNamespace !== undefined
      ? [
          { group: '', resource: 'configmaps', verbs: WATCHED },
          {
            group: '',
            resource: 'configmaps',
            verbs: ['create', 'patch', 'delete'],
            namespace: approvalsNamespace,
          },
        ]
      : []),
  ];
}

/** Pods are watched in the namespaces of the accounts that are believed, and everywhere where one is each user's own. */
function podRights(grants: KubernetesGrantSettings): readonly NeededRight[] {
  const accounts = [
    ...grants.trustedServiceAccounts,
    ...grants.systemEventServiceAccounts,
    ...grants.settingsServiceAccounts,
    ...grants.staticGrants.map(({ account }) => account),
  ];
  const pods = { group: '', resource: 'pods', verbs: WATCHED };
  if (accounts.some(({ namespace }) => namespace.includes('<user>'))) return [pods];
  return [...new Set(accounts.map(({ namespace }) => namespace))].map((namespace) => ({
    ...pods,
    namespace,
  }));
}

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

/** Asks the API server who we are to it, by reviews that change nothing. @param timeoutMs of one call */
export async function checkCluster(
  { grants }: Settings,
  timeoutMs: number,
  noteSkew: NoteSkew,
): Promise<readonly CheckResult[]> {
  const [name, rights] = ['cluster', 'cluster-rights'];
  if (grants.kind === 'directory')
    return [skipped(name, 'GRANTS_SOURCE is directory: the API server is not asked.')];
  const api = apiOf(grants);
  if (api instanceof KubeConfigUnusable) return [failed(name, api.message)];
  const reached = await version(api, timeoutMs);
  if ('failure' in reached)
    return [
      failed(name, reached.failure),
      skipped(rights, 'Not asked for, since the API server did not answer.'),
    ];
  if (reached.dateMs !== undefined) noteSkew('the API server', skewOf(reached.dateMs));
  const asked = neededRights(grants).flatMap((right) => right.verbs.map((verb) => ({ right, verb })));
  const answers = await Promise.all(
    asked.map(async (one) => ((await mayDo(api, one, timeoutMs)) ? [] : [wordsFor(one)])),
  );
  const missing = answers.flat();
  return [
    ok(name, `The API server answers; it is Kubernetes ${reached.version}.`),
    missing.length === 0
      ? ok(rights, `The ServiceAccount has all ${asked.length} rights that these settings need.`)
      : failed(
          rights,
          `The ServiceAccount may not ${missing.join(', ')}: docs/kubernetes.md lists what it needs.`,
        ),
  ];
}

function apiOf({ environment }: KubernetesGrantSettings): KubernetesApi | KubeConfigUnusable {
  try {
    return new KubernetesApi(kubeConfigConnection(environment), new SystemMonotonicTime());
  } catch (error: unknown) {
    if (error instanceof KubeConfigUnusable) return error;
    throw error;
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  Unauthorized:
    'it does not accept our token: the pod needs its ServiceAccount token, the kubeconfig a valid one',
  ECONNREFUSED: 'nothing listens at its address',
  Timeout: 'it does not answer in time: check the network policy',
};

async function version(
  api: KubernetesApi,
  timeoutMs: number,
): Promise<{ version: string; dateMs: number | undefined } | { failure: string }> {
  try {
    const { body, dateMs } = await api.sendDated({ method: 'GET', path: '/version', timeoutMs });
    const { gitVersion } = Object(body) as { readonly gitVersion?: unknown };
    const isPlain = typeof gitVersion === 'string' && /^v[\w.+-]{1,40}$/.test(gitVersion);
    return { version: isPlain ? gitVersion : 'of an unknown version', dateMs };
  } catch (error: unknown) {
    const { reason, message } = kubernetesFailureOf(error);
    const advice = ADVICE[reason] ?? 'see docs/kubernetes.md for how it is found';
    return { failure: `The API server cannot be used (${message}): ${advice}.` };
  }
}

interface AskedRight {
  readonly right: NeededRight;
  readonly verb: string;
}

/** @throws KubernetesFailure */
async function mayDo(api: KubernetesApi, { right, verb }: AskedRight, timeoutMs: number): Promise<boolean> {
  const { verbs: _verbs, ...on } = right;
  const attributes =
    'url' in on ? { nonResourceAttributes: { path: on.url, verb } } : { resourceAttributes: { ...on, verb } };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: attributes,
  };
  const answer = await api.send({ method: 'POST', path: REVIEWS, body, timeoutMs });
  const { status } = Object(answer) as { readonly status?: { readonly allowed?: unknown } };
  return status?.allowed === true;
}

function wordsFor({ right, verb }: AskedRight): string {
  if ('url' in right) return `${verb} ${right.url}`;
  const { group, resource, namespace } = right;
  const kind = group === '' ? resource : `${resource}.${group}`;
  return namespace === undefined ? `${verb} ${kind}` : `${verb} ${kind} in ${namespace}`;
}
