import { hash } from 'bcrypt';
import { parseOp } from '../../src/authz/sys-data';
import { BOBS_OTMOICLP, EXAMPLE_APPS, OTMOICLP, READER } from '../support/example-apps';
import { accessToken, unsigned, userToken } from '../support/tokens';

export type HeaderPair = readonly [name: string, value: string];

/** Somebody who calls: the address, and the headers that prove who it is, or do not. */
export interface Identity {
  readonly name: string;
  readonly from: string;
  readonly headers: readonly HeaderPair[];
  /** Which routes the credentials are made for. */
  readonly for: 'app' | 'user' | 'event-sender' | 'nothing';
  /** Set where the calls are ProxyRequests, in which system-server names the app by its key. */
  readonly appKey?: string;
}

interface App {
  readonly app: string;
  readonly user: string;
  readonly ops: readonly string[];
}

/** Alice's app that brings its manifest with it; `shared` is not its own, and needs an approval. */
export const NOTES: App = {
  app: 'notes',
  user: 'alice',
  ops: ['CreateSecret', 'RetrieveSecret', 'UpdateSecret', 'DeleteSecret', 'ListSecret', 'RetrieveSecret?workspace=shared'],
}; // prettier-ignore

export const ADDRESSES = {
  nobody: '127.0.0.9',
  alicesSystemServer: '127.0.0.2',
  trustedProxy: '127.0.0.4',
} as const;

/** Makes the token of a pod. */
export type PodTokens = (namespace: string, name?: string) => string;

const APPS: readonly App[] = [...EXAMPLE_APPS, NOTES];
const SETTINGS = { groups: ['lldap_admin'] };

/** All credentials of one run, and what each of them lets its holder do at most. */
export class Credentials {
  /** The users whose tokens are good. */
  readonly #users = new Map<string, string>();
  readonly #accessTokens = new Map<string, App>();
  readonly #pods = new Map<string, App>();
  readonly #settings = new Map<string, string>();
  readonly identities: Identity[] = [];
  /** A token that LLDAP refuses, since its user has logged out. */
  loggedOut = '';
  /** Proofs for access tokens; each is accepted once. */
  proofs: readonly object[] = [];

  static async make(podToken: PodTokens, nowMs: number): Promise<Credentials> {
    const made = new Credentials();
    const user = async (name: string): Promise<HeaderPair> => {
      const token = await userToken(name, nowMs, { claims: SETTINGS });
      made.#users.set(token, name);
      return ['X-Authorization', token];
    };
    const access = async ({ app, user: owner, ops }: App): Promise<HeaderPair> => {
      const token = await accessToken(app, owner, ops, nowMs);
      made.#accessTokens.set(token, { app, user: owner, ops });
      return ['X-Access-Token', token];
    };
    const bearer = (of: App): HeaderPair => {
      const token = podToken(`${of.app}-${of.user}`);
      made.#pods.set(token, of);
      return ['Authorization', `Bearer ${token}`];
    };
    const [alice, bob] = [await user('alice'), await user('bob')];
    const frontend = podToken('user-space-alice', 'system-frontend');
    made.#settings.set(frontend, 'alice');
    const bySettings: HeaderPair = ['Authorization', `Bearer ${frontend}`];
    const otmoiclp = await access(OTMOICLP);
    const nobody = ADDRESSES.nobody;
    const add = (
      name: string,
      of: Identity['for'],
      headers: readonly HeaderPair[],
      from: string = nobody,
    ): void => void made.identities.push({ name, for: of, headers, from });
    add('otmoiclp of alice', 'app', [alice, otmoiclp]);
    add('otmoiclp of bob', 'app', [bob, await access(BOBS_OTMOICLP)]);
    add('reader of alice', 'app', [alice, await access(READER)]);
    add('an access token for one operation', 'app', [alice, await access({ ...OTMOICLP, ops: ['ListSecret?workspace=otmoic'] })]); // prettier-ignore
    add('the pod of notes', 'app', [alice, bearer(NOTES)]);
    add('the pod of otmoiclp', 'app', [alice, bearer(OTMOICLP)]);
    made.identities.push({
      name: "alice's system-server",
      for: 'app',
      from: ADDRESSES.alicesSystemServer,
      headers: [['X-BFL-USER', 'alice']],
      appKey: OTMOICLP.appKey,
    });
    add('a trusted proxy', 'app', [['X-BFL-USER', 'alice'], ['X-Remote-User', 'system:serviceaccount:notes-alice:default']], ADDRESSES.trustedProxy); // prettier-ignore
    add('the Settings app of alice', 'user', [alice, bySettings]);
    add('the Settings app with the login cookie', 'user', [
      ['Cookie', `a=b; auth_token=${alice[1]}`],
      bySettings,
    ]);
    add('the sender of events', 'event-sender', [
      ['Authorization', `Bearer ${podToken('os-framework', 'events')}`],
    ]);
    add("alice's access token with bob's user token", 'nothing', [bob, otmoiclp]);
    add('the user alone', 'nothing', [alice]);
    add('nobody', 'nothing', []);
    add('a token without a signature', 'nothing', [['X-Authorization', unsigned(alice[1])], ['X-Access-Token', unsigned(otmoiclp[1])]]); // prettier-ignore
    add('a token that has expired', 'nothing', [['X-Authorization', await userToken('alice', nowMs, { expiresAtMs: nowMs - 1 })], otmoiclp]); // prettier-ignore
    add('a token of another key', 'nothing', [alice, ['X-Access-Token', await accessToken('otmoiclp', 'alice', OTMOICLP.ops, nowMs, { key: Buffer.alloc(64, 7) })]]); // prettier-ignore
    const [, out] = ['X-Authorization', await userToken('alice', nowMs, { claims: { mfa: 1 } })];
    made.loggedOut = out;
    add('a user who has logged out', 'nothing', [['X-Authorization', out], otmoiclp]);
    const timestamp = Math.floor(nowMs / 1000);
    const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: OTMOICLP.ops };
    made.proofs = await Promise.all(
      [OTMOICLP, BOBS_OTMOICLP, READER].map(async ({ appKey, appSecret }) => ({
        app_key: appKey,
        timestamp,
        token: await hash(`${appKey}${timestamp}${appSecret}`, 10),
        perm,
      })),
    );
    return made;
  }

  /**
   * Returns what a request may touch at most, each as `<operation> <user> <workspace>`, by its headers as they were sent and the
   * address: a bound made of the documents, without the code of the service. A header that is sent twice proves nothing.
   */
  rightsOf(headers: readonly HeaderPair[], from: string): ReadonlySet<string> {
    const valueOf = (name: string): string => {
      const values = headers.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value.trim());
      return values.length === 1 ? (values[0] ?? '') : '';
    };
    const user = this.#users.get(valueOf('x-authorization'));
    const bearer = /^Bearer (.+)$/.exec(valueOf('authorization'))?.[1] ?? '';
    const rights = new Set<string>();
    const grant = ({ app, ops, user: owner }: App): void => {
      for (const op of ops) {
        const parsed = parseOp(op, app);
        if ('operation' in parsed) rights.add(`${parsed.operation} ${owner} ${parsed.workspace}`);
      }
    };
    for (const app of [this.#accessTokens.get(valueOf('x-access-token')), this.#pods.get(bearer)])
      if (app !== undefined && app.user === user) grant(app);
    const isNamed = valueOf('x-bfl-user') === 'alice';
    if (isNamed && from === ADDRESSES.alicesSystemServer) grant(OTMOICLP);
    if (isNamed && from === ADDRESSES.trustedProxy) grant(NOTES);
    const cookie = /auth_token=([^;]+)/.exec(valueOf('cookie'))?.[1] ?? '';
    const ofSettings = this.#settings.get(bearer);
    if (ofSettings !== undefined && (user === ofSettings || this.#users.get(cookie) === ofSettings))
      for (const app of APPS.filter((one) => one.user === ofSettings))
        for (const workspace of ['otmoic', 'notes', 'shared'])
          rights.add(`settings ${app.user} ${workspace}`);
    return rights;
  }
}
