import type { RequestOptions } from 'node:https';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { KubernetesFailure, type ApiConnection } from './kubernetes-api';

/** As every Kubernetes tool finds its cluster: KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount. */
export function kubeConfigConnection(): ApiConnection {
  const config = new KubeConfigWithTokenFiles();
  config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new KubernetesFailure('NoCurrentCluster');
  return {
    server: cluster.server.replace(/\/+$/, ''),
    options: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return { ...options, headers: withPlainToken(options.headers) };
    },
  };
}

/** The library knows a user's `tokenFile` by another name only, and asked without a token. It counts before a `token`, as in kubectl. */
class KubeConfigWithTokenFiles extends KubeConfig {
  override loadFromFile(...args: Parameters<KubeConfig['loadFromFile']>): void {
    super.loadFromFile(...args);
    const [file] = args;
    const files = tokenFilesIn(parse(readFileSync(file, 'utf8')));
    this.users = this.users.map((user) => {
      const { token: _token, ...others } = user;
      const path = files.get(user.name);
      if (path === undefined) return user;
      const tokenFile = resolve(dirname(file), path);
      return { ...others, authProvider: { name: 'tokenFile', config: { tokenFile } } };
    });
  }
}

function tokenFilesIn(config: unknown): ReadonlyMap<string, string> {
  const { users } = (config ?? {}) as { readonly users?: unknown };
  const found = new Map<string, string>();
  for (const entry of Array.isArray(users) ? (users as readonly unknown[]) : []) {
    const { name, user } = (entry ?? {}) as {
      readonly name?: unknown;
      readonly user?: { readonly tokenFile?: unknown } | null;
    };
    const path = user?.tokenFile;
    if (typeof name === 'string' && typeof path === 'string' && path !== '') found.set(name, path);
  }
  return found;
}

/** A file that somebody wrote by hand ends with a new line, which no header may have. */
function withPlainToken(headers: RequestOptions['headers']): RequestOptions['headers'] {
  if (headers === undefined || Array.isArray(headers)) return headers;
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value.trim() : value]),
  );
}
