/** Knows whose each namespace of the cluster is: its label `bytetrade.io/ns-owner`, which the platform sets. */
export abstract class NamespaceOwners {
  /** Undefined where there is no such namespace or it has no owner. @throws IdentityUnavailable (503) while unknown */
  abstract ownerOf(namespace: string): string | undefined;
}
