import { IdentityUnavailable } from '../errors/identity-errors';
import { NamespaceOwners } from '../identity/namespace-owners';
import type { KubeObject } from './kube-object';
import { WatchedCollection } from './watched-collection';
import type { CollectionSurroundings } from './watched-collection-options';

const OWNER = 'bytetrade.io/ns-owner';

/** The namespaces of the cluster, watched for their owner's label. */
export class WatchedNamespaceOwners extends NamespaceOwners {
  private readonly namespaces: WatchedCollection<string | undefined>;

  constructor(
    around: CollectionSurroundings,
    private readonly maxAgeMs: number,
  ) {
    super();
    this.namespaces = new WatchedCollection({ path: '/api/v1/namespaces', read: ownerIn }, around);
    this.namespaces.start();
  }

  ownerOf(namespace: string): string | undefined {
    if (this.namespaces.ageMs() > this.maxAgeMs) throw new IdentityUnavailable('The Kubernetes API server');
    return this.namespaces.get(namespace);
  }

  close(): Promise<void> {
    return this.namespaces.stop();
  }
}

function ownerIn({ body }: KubeObject): string | undefined {
  const { labels } = body['metadata'] as { readonly labels?: Readonly<Record<string, unknown>> | null };
  const owner = labels?.[OWNER];
  return typeof owner === 'string' ? owner : undefined;
}
