import type { ServiceAccountName } from './peer-verifier';
import { Unauthenticated } from '../errors/authn-errors';
import type { Caller } from './caller';

/** Asks the cluster whose ServiceAccount token this is. */
export abstract class ServiceAccountReviewer {
  /**
   * @param peerAddress of the socket that the token came by: no peer takes the others' turns
   * @returns undefined where the token is not good, or was made for somebody else than us.
   * @throws IdentityUnavailable (503) when the cluster does not answer, TooManyRequests (429)
   */
  abstract review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined>;
}

/** Knows whose each namespace of the cluster is: its label `bytetrade.io/ns-owner`, which the platform sets. */
export abstract class NamespaceOwners {
  /** Undefined where there is no such namespace or it has no owner. @throws IdentityUnavailable (503) while unknown */
  abstract ownerOf(namespace: string): string | undefined;
}

/** Users' own system pods run here; they are no apps, whatever label the namespace has. */
const NO_APPS = /^user-(system|space)-/;

/**
 * An app proves itself with the ServiceAccount token of its pod. Its namespace is `<app>-<user>`, and where one name
 * ends only the namespace's owner tells: `mail-a-b` is app `mail` of user `a-b`, or app `mail-a` of user `b`.
 */
export class ServiceAccountAuthenticator {
  constructor(
    private readonly reviewer: ServiceAccountReviewer,
    private readonly owners: NamespaceOwners,
  ) {}

  /**
   * @param token of `Authorization: Bearer`
   * @param peerAddress of the socket that it came by
   * @throws Unauthenticated (401), IdentityUnavailable (503), TooManyRequests (429)
   */
  async authenticate(token: string, peerAddress: string | undefined): Promise<Caller> {
    const account = await this.reviewer.review(token, peerAddress);
    const caller = account === undefined ? undefined : this.callerIn(account.namespace);
    if (caller === undefined) throw new Unauthenticated('Authorization');
    return caller;
  }

  /** The app whose pods run in this namespace; undefined where it is nobody's. @throws IdentityUnavailable (503) */
  callerIn(namespace: string): Caller | undefined {
    const user = this.owners.ownerOf(namespace);
    const app = user === undefined ? undefined : appOf(namespace, user);
    return user === undefined || app === undefined ? undefined : { app, user, operations: 'any' };
  }
}

function appOf(namespace: string, user: string): string | undefined {
  const end = `-${user}`;
  if (user === '' || NO_APPS.test(namespace) || !namespace.endsWith(end)) return undefined;
  const app = namespace.slice(0, -end.length);
  return app === '' ? undefined : app;
}
