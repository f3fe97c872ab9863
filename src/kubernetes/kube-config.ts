import type { RequestOptions } from 'node:https';
import { existsSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, join } from 'node:path';
import {
  type EntryKind,
  type KubeConfigEntry,
  KubeConfigFile,
  readBounded,
  type Source,
} from './kube-config-file';
import { type ApiConnection, KubeConfigUnusable, KubernetesFailure } from './kubernetes-api';

/** The environment variables by which every Kubernetes tool finds its cluster. */
export interface KubeEnvironment {
  readonly KUBECONFIG?: string | undefined;
  readonly HOME?: string | undefined;
  readonly KUBERNETES_SERVICE_HOST?: string | undefined;
  readonly KUBERNETES_SERVICE_PORT?: string | undefined;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

interface ClusterAccess {
  readonly server: string;
  readonly serverName?: string | undefined;
  readonly isVerified: boolean;
  readonly ca?: Source | undefined;
  readonly cert?: Source | undefined;
  readonly key?: Source | undefined;
  readonly token?: Source | undefined;
}

/**
 * Finds the API server as kubectl does: by the files of KUBECONFIG, by `~/.kube/config`, or in a pod by its ServiceAccount.
 * @throws KubeConfigUnusable
 */
export function kubeConfigConnection(
  environment: KubeEnvironment,
  serviceAccountDir = SERVICE_ACCOUNT_DIR,
): ApiConnection {
  const files = kubeConfigFiles(environment);
  const access = files.length > 0 ? accessByKubeConfig(files) : accessByPod(environment, serviceAccountDir);
  return { server: access.server.replace(/\/+$/, ''), options: () => requestOptions(access) };
}

/** @throws KubernetesFailure where a file cannot be read */
function requestOptions({ token, ca, cert, key, serverName, isVerified }: ClusterAccess): RequestOptions {
  return {
    // Each request has a connection of its own, and NODE_TLS_REJECT_UNAUTHORIZED changes nothing.
    agent: false,
    rejectUnauthorized: isVerified,
    ...(serverName !== undefined && { servername: serverName }),
    ...(ca !== undefined && { ca: contentOf(ca) }),
    ...(cert !== undefined && { cert: contentOf(cert) }),
    ...(key !== undefined && { key: contentOf(key) }),
    ...(token !== undefined && { headers: { authorization: `Bearer ${contentOf(token)}` } }),
  };
}

/** Without the new line that a file written by hand ends with, which no header may have. An empty CA would mean the public ones to Node. */
function contentOf(source: Source): string {
  const content = ('data' in source ? source.data : readBounded(source.file)).trim();
  if (content === '') throw new KubernetesFailure('EmptyFile');
  return content;
}

function accessByPod(environment: KubeEnvironment, dir: string): ClusterAccess {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '' } = environment;
  if (!existsSync(join(dir, 'token'))) {
    throw new KubeConfigUnusable(
      'There is no cluster: KUBECONFIG is unset, ~/.kube/config is missing, and this is no pod with a ServiceAccount token.',
    );
  }
  if (host === '' || port === '') {
    throw new KubeConfigUnusable(
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be set, as in every pod.',
    );
  }
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    isVerified: true,
    ca: { file: join(dir, 'ca.crt') },
    token: { file: join(dir, 'token') },
  };
}

/** Files that are missing are skipped, as kubectl does; a KUBECONFIG of which nothing is there is a mistake. */
function kubeConfigFiles({ KUBECONFIG = '', HOME = '' }: KubeEnvironment): readonly string[] {
  if (KUBECONFIG === '') return HOME === '' ? [] : [join(HOME, '.kube', 'config')].filter(existsSync);
  const files = KUBECONFIG.split(delimiter).filter((file) => file !== '' && existsSync(file));
  if (files.length === 0) throw new KubeConfigUnusable('KUBECONFIG names no file that is there.');
  return files;
}

/** @throws KubeConfigUnusable */
function accessByKubeConfig(paths: readonly string[]): ClusterAccess {
  const configs = paths.map((path) => new KubeConfigFile(path));
  const contextName = configs.map((config) => config.currentContext).find((name) => name !== undefined);
  if (contextName === undefined) {
    throw new KubeConfigUnusable(`The kubeconfig ${paths.join(', ')} names no current-context.`);
  }
  // Of entries with the same name the one of the first file counts, whole, as in kubectl.
  const entry = (kind: EntryKind, name: string): KubeConfigEntry => {
    const found = configs.map((config) => config.entry(kind, name)).find((one) => one !== undefined);
    if (found !== undefined) return found;
    throw new KubeConfigUnusable(
      `The kubeconfig ${paths.join(', ')} has no ${kind} named ${JSON.stringify(name)}.`,
    );
  };
  const context = entry('context', contextName);
  const cluster = entry('cluster', context.required('cluster'));
  const user = context.text('user');
  return {
    ...clusterAccess(cluster),
    ...(user !== undefined && userAccess(entry('user', user))),
  };
}

function clusterAccess(cluster: KubeConfigEntry): ClusterAccess {
  cluster.refuse(['proxy-url'], 'the API server is called directly');
  const server = cluster.required('server');
  const serverName = cluster.text('tls-server-name');
  const isVerified = !cluster.flag('insecure-skip-tls-verify');
  const ca = cluster.source('certificate-authority');
  const protocol = URL.canParse(server) ? new URL(server).protocol : '';
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw cluster.wrong('server', 'must be an https URL');
  }
  if (protocol === 'http:' && isVerified) {
    throw cluster.wrong('server', 'must be https, or insecure-skip-tls-verify must be set');
  }
  if (ca !== undefined && !isVerified) {
    throw cluster.wrong('insecure-skip-tls-verify', 'and certificate-authority do not go together');
  }
  return { server, isVerified, serverName, ca };
}

const IMPERSONATION = ['as', 'as-uid', 'as-groups', 'as-user-extra'];
const UNSUPPORTED_OF_USERS = ['exec', 'auth-provider', 'username', 'password', ...IMPERSONATION];

function userAccess(user: KubeConfigEntry): Pick<ClusterAccess, 'cert' | 'key' | 'token'> {
  user.refuse(UNSUPPORTED_OF_USERS, 'use a token, a tokenFile or a client certificate');
  const [cert, key] = [user.source('client-certificate'), user.source('client-key')];
  if ((cert === undefined) !== (key === undefined)) {
    throw user.wrong('client-certificate', 'and client-key must both be given');
  }
  const [data, file] = [user.text('token'), user.path('tokenFile')];
  const token = file !== undefined ? { file } : data !== undefined ? { data } : undefined;
  return { cert, key, token };
}
