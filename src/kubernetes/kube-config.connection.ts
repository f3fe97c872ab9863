import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { ApiConnection } from './api-connection';
import { KubernetesFailure } from './kubernetes-failure';

/** As every Kubernetes tool finds its cluster: KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount. */
export function kubeConfigConnection(): ApiConnection {
  const config = new KubeConfig();
  config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new KubernetesFailure('NoCurrentCluster');
  return {
    server: cluster.server.replace(/\/+$/, ''),
    options: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return options;
    },
  };
}
