import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import type { FakeApiServer } from './fake-api-server/fake-api-server';
import type { KubeObject } from './fake-api-server/fake-objects';
import { isPatternOf, isSubject } from './fake-api-server/fake-rbac';
import { reviewToken } from './fake-api-server/fake-token-review';
import { USER_TOKEN_SECRET } from './tokens';

export interface ProviderProxyOptions {
  /** The user whose system-server it is. */
  readonly user: string;
  /** Where a `provider-service-ref` leads, e.g. `http://127.0.0.1:1234`; undefined for an upstream that is not there. */
  readonly upstreamOf: (serviceRef: string) => string | undefined;
  /** The address that its calls come from, of 127.0.0.0/8. */
  readonly address: string;
  /** By which the `exp` of user tokens counts. */
  readonly nowMs: () => number;
}

interface Verdict {
  readonly status: 401 | 403 | 503;
}

/** What a verb of RBAC is called after, for each method; POST is `create`, and `post` matches never. */
const VERB_OF: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/**
 * The RBAC proxy in a user's system-server of Olares 1.12.1 and later, at port 28080 (contract of Olares 1.12, section 3). It
 * looks at the first binding of the caller whose role bears the called host, and of that role at the first rule only.
 */
export class ProviderProxy {
  readonly nonce = randomUUID();
  /** The headers of every request that was let through, as the upstream gets them. */
  readonly forwarded: IncomingHttpHeaders[] = [];
  private readonly server: Server;

  private constructor(
    private readonly cluster: FakeApiServer,
    private readonly options: ProviderProxyOptions,
  ) {
    this.server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        void this.handle(incoming, Buffer.concat(chunks)).then(({ status, body }) =>
          response.writeHead(status, { 'content-type': 'application/json' }).end(body),
        );
      });
    });
  }

  static async start(cluster: FakeApiServer, options: ProviderProxyOptions): Promise<ProviderProxy> {
    const proxy = new ProviderProxy(cluster, options);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async handle(
    incoming: IncomingMessage,
    body: Buffer,
  ): Promise<{ readonly status: number; readonly body: string }> {
    const target = await this.targetOf(incoming);
    if ('status' in target) return { status: target.status, body: JSON.stringify({ by: 'the proxy' }) };
    const { authorization: _own, 'temp-authorization': sent, ...rest } = incoming.headers;
    const headers = {
      ...rest,
      ...(sent !== undefined && { authorization: String(sent) }),
      'x-bfl-user': this.options.user,
      'terminus-nonce': this.nonce,
    };
    this.forwarded.push(headers);
    const { method = 'GET', url = '/' } = incoming;
    return new Promise((resolve, reject) => {
      const { address: localAddress } = this.options;
      const sending = request(`${target.upstream}${url}`, { method, headers, localAddress }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
      });
      sending.on('error', reject).end(body);
    });
  }

  private async targetOf(incoming: IncomingMessage): Promise<Verdict | { readonly upstream: string }> {
    const caller = await this.callerOf(incoming);
    if (caller === undefined) return { status: 401 };
    const [name = '', namespace = ''] = (incoming.headers.host ?? '').replace(/:\d+$/, '').split('.');
    const role = this.roleOf(caller, `${namespace}/${name}`);
    const [rule] = (role?.['rules'] ?? []) as readonly {
      readonly nonResourceURLs?: readonly string[];
      readonly verbs: readonly string[];
    }[];
    const verb = VERB_OF[incoming.method ?? ''] ?? '';
    // Path, `?` and raw query, as one text.
    const isAllowed =
      rule?.nonResourceURLs?.some(isPatternOf(incoming.url ?? '')) === true &&
      (rule.verbs.includes('*') || rule.verbs.includes(verb));
    if (!isAllowed) return { status: 403 };
    const upstream = this.options.upstreamOf(annotationOf(role, 'provider-service-ref') ?? '');
    return upstream === undefined ? { status: 503 } : { upstream };
  }

  /** Returns the name that bindings have to bear: a valid token of a user comes before everything else. */
  private async callerOf({ headers }: IncomingMessage): Promise<string | undefined> {
    const [, cookie] = /(?:^|;\s*)auth_token=([^;]*)/.exec(headers.cookie ?? '') ?? [];
    for (const token of [cookie, headers['x-authorization']]) {
      const user = typeof token === 'string' ? await this.userOf(token) : undefined;
      if (user !== undefined) return user;
    }
    if (headers['terminus-nonce'] === this.nonce) return String(headers['x-bfl-user'] ?? '');
    const [, token] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const { status } = reviewToken({ spec: { token } }, this.cluster.tokens) as {
      readonly status: { readonly authenticated: boolean; readonly user: { readonly username?: string } };
    };
    return status.authenticated ? status.user.username : undefined;
  }

  private async userOf(token: string): Promise<string | undefined> {
    const currentDate = new Date(this.options.nowMs());
    const options = { algorithms: ['HS512'], currentDate };
    const verified = await jwtVerify(token, USER_TOKEN_SECRET, options).catch(() => undefined);
    const username = verified?.payload['username'];
    return typeof username === 'string' ? username : undefined;
  }

  private roleOf(caller: string, registryRef: string): KubeObject | undefined {
    const roles = this.cluster.of('clusterroles');
    const bindings = this.cluster
      .of('clusterrolebindings')
      .list()
      .filter(({ subjects }) =>
        ((subjects ?? []) as readonly Parameters<typeof isSubject>[0][]).some((one) =>
          isSubject(one, caller),
        ),
      );
    return bindings
      .map(({ roleRef }) => roles.get(undefined, (roleRef as { readonly name: string }).name))
      .find((role) => annotationOf(role, 'provider-registry-ref') === registryRef);
  }
}

function annotationOf(role: KubeObject | undefined, name: string): string | undefined {
  const { annotations } = (role?.metadata ?? {}) as {
    readonly annotations?: Readonly<Record<string, string>>;
  };
  return annotations?.[name];
}

/** What an envoy sidecar (Olares up to 1.12.6) makes of the headers of its app: the pod's own token takes the place of the app's. */
export function throughSidecar(
  { authorization, ...headers }: Readonly<Record<string, string>>,
  podToken: string,
): Readonly<Record<string, string>> {
  return {
    ...headers,
    ...(authorization !== undefined && { 'temp-authorization': authorization }),
    authorization: `Bearer ${podToken}`,
  };
}
