import type { SecretScope } from './secret';

/** JSON, so that no two scopes share a key and none is the beginning of another. */
export function keyOf({ user, workspace, environment }: SecretScope): string {
  return JSON.stringify([user, workspace, environment]);
}
