import { Unauthenticated } from '../errors/authn-errors';
import type { Caller } from './caller';
import type { ServiceAccountName } from './peer-verifier';

/** Asks the cluster whose ServiceAccount token this is. */
export abstract class ServiceAccountReviewer {
  /**
   * @param peerAddress address of the socket that the token came by; reviews are queued fairly by it
   * @returns undefined where the token is not good or was made for another audience
   * @throws IdentityUnavailable (503) when the cluster does not answer, TooManyRequests (429)
   */
  abstract review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined>;
}

/** Knows the owner of each namespace: its label `bytetrade.io/ns-owner`, which the platform sets. */
export abstract class NamespaceOwners {
  /** Returns undefined where the namespace does not exist or has no owner. @throws IdentityUnavailable (503) while unknown */
  abstract ownerOf(namespace: string): string | undefined;
}

/** System pods of users run in these namespaces; they are no apps, whatever label the namespace has. */
const NO_APPS = /^user-(system|space)-/;

/** Returns the app that has this namespace, by its owner alone; undefined where the namespace is no app's. */
export function appInNamespace(namespace: string, owner: string): string | undefined {
  const suffix = `-${owner}`;
  if (owner === '' || NO_APPS.test(namespace) || !namespace.endsWith(suffix)) return undefined;
  return namespace.slice(0, -suffix.length) || undefined;
}

/**
 * Authenticates an app by the ServiceAccount token of its pod. The namespace is `<app>-<user>`, and only its owner tells
 * where the app's name ends: `mail-a-b` is app `mail` of user `a-b`, or app `mail-a` of user `b`.
 */
export class ServiceAccountAuthenticator {
  constructor(
    private readonly reviewer: ServiceAccountReviewer,
    private readonly owners: NamespaceOwners,
  ) {}

  /**
   * @throws Unauthenticated (401), IdentityUnavailable (503), TooManyRequests (429)
   */
  async authenticate(token: string, peerAddress: string | undefined): Promise<Caller> {
    const account = await this.reviewer.review(token, peerAddress);
    const caller = account === undefined ? undefined : this.callerIn(account.namespace);
    if (caller === undefined) throw new Unauthenticated('Authorization');
    return caller;
  }

  /** Returns the user to whom a namespace belongs; undefined where it is nobody's. @throws IdentityUnavailable (503) */
  userOf(namespace: string): string | undefined {
    return this.owners.ownerOf(namespace);
  }

  /** Returns the app whose pods run in this namespace; undefined where there is none. @throws IdentityUnavailable (503) */
  callerIn(namespace: string): Caller | undefined {
    const user = this.owners.ownerOf(namespace);
    const app = appInNamespace(namespace, user ?? '');
    return user === undefined || app === undefined ? undefined : { app, user, operations: 'any' };
  }
}
