import { IdentityUnavailable } from '../errors/authn-errors';
import { NamespaceOwners } from '../authn/service-account.authenticator';
import type { UserPresence } from '../authn/user-token.verifier';
import type { KubeObject } from './kube-object';
import { Informer } from './informer';
import type { InformerDeps } from './informer-options';

const OWNER = 'bytetrade.io/ns-owner';
const SYSTEM_NAMESPACE = 'user-system-';

/** Watches the namespaces of the cluster for the label of their owner; a user exists as long as their system namespace does. */
export class WatchedNamespaceOwners extends NamespaceOwners implements UserPresence {
  /** The owners by namespace; '' where there is none. */
  private readonly namespaces: Informer<string>;
  private readonly listeners: ((user: string) => void)[] = [];

  constructor(
    deps: InformerDeps,
    private readonly maxAgeMs: number,
  ) {
    super();
    this.namespaces = new Informer(
      { path: '/api/v1/namespaces', read: ownerIn, onRemoved: (name) => this.removed(name) },
      deps,
    );
    this.namespaces.start();
  }

  ownerOf(namespace: string): string | undefined {
    return this.current().get(namespace) || undefined;
  }

  /** The grants of a user end with their system namespace, and not before it is completely removed. */
  isHere(user: string): boolean {
    return this.current().get(SYSTEM_NAMESPACE + user) !== undefined;
  }

  onGone(listener: (user: string) => void): void {
    this.listeners.push(listener);
  }

  close(): Promise<void> {
    return this.namespaces.stop();
  }

  /** @throws IdentityUnavailable where the namespaces are too old to decide by */
  private current(): Informer<string> {
    if (this.namespaces.ageMs() > this.maxAgeMs) throw new IdentityUnavailable('The Kubernetes API server');
    return this.namespaces;
  }

  private removed(namespace: string): void {
    if (!namespace.startsWith(SYSTEM_NAMESPACE)) return;
    for (const listener of this.listeners) listener(namespace.slice(SYSTEM_NAMESPACE.length));
  }
}

function ownerIn({ body }: KubeObject): string {
  const { labels } = body['metadata'] as { readonly labels?: Readonly<Record<string, unknown>> | null };
  const owner = labels?.[OWNER];
  return typeof owner === 'string' ? owner : '';
}
