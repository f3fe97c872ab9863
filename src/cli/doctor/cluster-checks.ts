import { SECRET_OPERATIONS } from '../../authz/grant';
import type { KubernetesGrantSettings } from '../../config/grant-settings';
import type { Settings } from '../../config/settings';
import { fieldsOf } from '../../json/json';
import { kubeConfigConnection } from '../../kubernetes/kube-config';
import { KubeConfigUnusable, KubernetesApi, kubernetesFailureOf } from '../../kubernetes/kubernetes-api';
import { SystemMonotonicTime } from '../../time/clock';
import { type CheckResult, failed, ok, skipped } from './checks';
import { type NoteSkew, skewOf } from './dependency-checks';

/** One row of docs/kubernetes.md: on resources, without a namespace in all of them, or on a URL. */
type NeededRight = { readonly verbs: readonly string[] } & (
  | { readonly group: string; readonly resource: string; readonly namespace?: string }
  | { readonly url: string }
);

const WATCHED = ['list', 'watch'];

/** Returns what docs/kubernetes.md says that the ServiceAccount needs with these settings. */
export function neededRights(grants: KubernetesGrantSettings): readonly NeededRight[] {
  const { feeds, olares, registration, approvalsNamespace } = grants;
  const rights: NeededRight[] = [];
  const need = (group: string, resource: string, verbs: readonly string[], namespace?: string): unknown =>
    rights.push({ group, resource, verbs, ...(namespace !== undefined && { namespace }) });
  const byPermissions = feeds.includes('application-permissions');
  if (byPermissions) need('sys.bytetrade.io', 'applicationpermissions', WATCHED);
  if (byPermissions || olares.provider !== undefined)
    need('app.bytetrade.io', 'applicationmanagers', WATCHED);
  need('', 'namespaces', WATCHED);
  need('discovery.k8s.io', 'endpointslices', WATCHED);
  need('authentication.k8s.io', 'tokenreviews', ['create']);
  for (const namespace of podNamespaces(grants)) need('', 'pods', WATCHED, namespace);
  const byRoles = registration !== undefined && registration.kind !== 'provider-registry';
  const byRegistry = registration !== undefined && registration.kind !== 'rbac';
  if (byRegistry) need('sys.bytetrade.io', 'providerregistries', [...WATCHED, 'create', 'patch']);
  const rbac = 'rbac.authorization.k8s.io';
  const roles = byRoles ? [...WATCHED, 'create', 'patch', 'delete'] : ['list'];
  if (byRoles || olares.release === 'auto') need(rbac, 'clusterroles', roles);
  if (byRoles) need(rbac, 'clusterrolebindings', roles);
  if (registration !== undefined) {
    const verbs = [...WATCHED, 'create', 'patch'];
    need('apr.bytetrade.io', 'syseventregistries', verbs, registration.endpoint.namespace);
  }
  if (byRoles)
    rights.push(...SECRET_OPERATIONS.map((one) => ({ url: `/${one}?workspace=*`, verbs: ['create'] })));
  if (approvalsNamespace !== undefined) {
    need('', 'configmaps', WATCHED);
    need('', 'configmaps', ['create', 'patch', 'delete'], approvalsNamespace);
  }
  return rights;
}

/** Pods are watched in the namespaces of the accounts that are believed, and everywhere (undefined) where one is each user's own. */
function podNamespaces(grants: KubernetesGrantSettings): ReadonlySet<string | undefined> {
  const namespaces = [
    ...grants.trustedServiceAccounts,
    ...grants.systemEventServiceAccounts,
    ...grants.settingsServiceAccounts,
    ...grants.staticGrants.map(({ account }) => account),
  ].map(({ namespace }) => namespace);
  return new Set(namespaces.some((one) => one.includes('<user>')) ? [undefined] : namespaces);
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
  let api: KubernetesApi;
  try {
    api = new KubernetesApi(kubeConfigConnection(grants.environment), new SystemMonotonicTime());
  } catch (error: unknown) {
    if (error instanceof KubeConfigUnusable) return [failed(name, error.message)];
    throw error;
  }
  const reached = await version(api, timeoutMs);
  if ('failure' in reached)
    return [
      failed(name, reached.failure),
      skipped(rights, 'Not asked for, since the API server did not answer.'),
    ];
  if (reached.dateMs !== undefined) noteSkew('the API server', skewOf(reached.dateMs));
  const answered = ok(name, `The API server answers; it is Kubernetes ${reached.version}.`);
  const asked = neededRights(grants).flatMap((right) => right.verbs.map((verb) => ({ right, verb })));
  try {
    const answers = await Promise.all(
      asked.map(async (one) => ((await mayDo(api, one, timeoutMs)) ? [] : [wordsFor(one)])),
    );
    const missing = answers.flat().join(', ');
    if (missing === '')
      return [
        answered,
        ok(rights, `The ServiceAccount has all ${asked.length} rights that these settings need.`),
      ];
    const sentence = `The ServiceAccount may not ${missing}: docs/kubernetes.md lists what it needs.`;
    return [answered, failed(rights, sentence)];
  } catch (error: unknown) {
    const { message } = kubernetesFailureOf(error);
    return [
      answered,
      failed(rights, `The API server does not say what the ServiceAccount may (${message}).`),
    ];
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
    const { gitVersion } = fieldsOf(body);
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
  const kind = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' };
  const body = { ...kind, spec: attributes };
  const answer = await api.send({ method: 'POST', path: REVIEWS, body, timeoutMs });
  return fieldsOf(fieldsOf(answer)['status'])['allowed'] === true;
}

function wordsFor({ right, verb }: AskedRight): string {
  if ('url' in right) return `${verb} ${right.url}`;
  const { group, resource, namespace } = right;
  const kind = group === '' ? resource : `${resource}.${group}`;
  return namespace === undefined ? `${verb} ${kind}` : `${verb} ${kind} in ${namespace}`;
}
