import { Injectable } from '@nestjs/common';
import { UserMismatch } from '../errors/identity-errors';
import { InvalidRequest } from '../errors/request-errors';
import { ProxiedCallerService } from '../grants/proxied-caller.service';
import type { Caller } from '../identity/caller';
import { CallerAuthenticator } from '../identity/caller-authenticator';
import { Administrators } from './administrators';
import { bodyProblem } from './json-body';
import { pathOf, type ProviderRequest } from './provider-request';
import { proxyRequestIn, workspaceIn, type ProxyRequest } from './proxy-request';

const PLAIN_USER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Finds out who sent a request; the only reader of headers that carry a credential or a name. */
@Injectable()
export class RequestAuthenticator {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly proxied: ProxiedCallerService,
    private readonly administrators: Administrators,
  ) {}

  /** An app, by its own credentials or through a proven system-server; such a call is put into the direct form here. */
  async callerOf(request: ProviderRequest): Promise<Caller> {
    const proxyRequest = proxyRequestIn(request.body);
    if (proxyRequest !== undefined) return this.proxiedCallerOf(request, proxyRequest);
    return this.authenticator.authenticate({
      userToken: header(request, 'x-authorization'),
      accessToken: header(request, 'x-access-token'),
    });
  }

  /** A user acts for themself; an administrator also for the user whom the query names. */
  async userOf(request: ProviderRequest): Promise<string> {
    const own = await this.authenticator.authenticateUser(header(request, 'x-authorization'));
    const { user: named } = request.query;
    if (named === undefined || named === own.user) return own.user;
    const { group } = this.administrators;
    const isAdministrator = group !== undefined && own.groups.includes(group);
    if (typeof named !== 'string' || !isAdministrator) throw new UserMismatch();
    return named;
  }

  private async proxiedCallerOf(request: ProviderRequest, proxyRequest: ProxyRequest): Promise<Caller> {
    const user = header(request, 'x-bfl-user');
    const caller = await this.proxied.identify({
      appKey: proxyRequest.appKey,
      user: user !== undefined && PLAIN_USER.test(user) ? user : undefined,
      peer: {
        address: request.socket.remoteAddress ?? '',
        bearer: /^Bearer (\S+)$/.exec(header(request, 'authorization') ?? '')?.[1],
      },
    });
    const userToken = header(request, 'x-authorization');
    if (userToken !== undefined) {
      const own = await this.authenticator.authenticateUser(userToken);
      if (own.user !== caller.user) throw new UserMismatch();
    }
    const workspace = workspaceIn(proxyRequest, pathOf(request), caller.app);
    const { workspace: queried } = request.query;
    if (queried !== undefined && queried !== workspace)
      throw new InvalidRequest('workspace', 'must agree with op');
    const problem = bodyProblem(proxyRequest.data, 'data');
    if (problem !== undefined) throw problem;
    Object.defineProperty(request, 'query', { value: { workspace } });
    request.body = proxyRequest.data;
    return caller;
  }
}

/** A header that was sent twice arrives joined with a comma, which nothing verifies with. An empty one counts as absent. */
function header(request: ProviderRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
