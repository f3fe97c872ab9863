import {
  APPLICATION_PERMISSIONS,
  readApplicationPermission,
} from '../../src/grant-sources/kubernetes/olares-objects';
import {
  type GrantFeed,
  type GrantReading,
  KubernetesGrantSource,
  type OpenGrantFeed,
} from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { Informer, type InformerDeps } from '../../src/kubernetes/informer';

class PermissionFeed extends Informer<GrantReading> implements GrantFeed {
  readonly name = 'ApplicationPermissions';
}

/** Reads grants from ApplicationPermissions alone, and so without telling which of them are leftovers. */
export const permissionsAlone: OpenGrantFeed = (deps, observerOf) => {
  const observer = observerOf('ApplicationPermission');
  const options = {
    path: APPLICATION_PERMISSIONS,
    absentIsEmpty: true,
    read: readApplicationPermission,
    onPut: (key: string, reading: GrantReading) => observer.put(key, reading),
    onRemoved: (key: string) => observer.remove(key),
    onListed: () => observer.listed(),
    onOutdated: () => observer.outdated(),
  };
  return new PermissionFeed(options, deps);
};

export function openPermissions(deps: InformerDeps): Promise<KubernetesGrantSource> {
  return KubernetesGrantSource.open(deps, [permissionsAlone]);
}
