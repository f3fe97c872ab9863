import { createHmac } from 'node:crypto';
import { fieldsOf } from '../json/json';
import type { LogEvent } from '../logging/log';
import { InfisicalApi, RetryBudget } from '../stores/infisical/api/infisical-api';
import { listing } from '../stores/infisical/api/secret-calls';
import { type LoginCredentials, loginMethod } from '../stores/infisical/auth/login-method';
import { MachineSession } from '../stores/infisical/auth/machine-session';
import { identityIn } from '../stores/infisical/projects/organization-check';
import { InfisicalClient, type TransportAnswer } from '../stores/infisical/transport/infisical-client';
import type { RouteOptions } from '../stores/infisical/transport/transport-route';
import { UpstreamRateLimits } from '../stores/infisical/transport/upstream-rate-limits';
import { InfisicalCallFailed } from '../stores/infisical/versions/infisical-call-failed';
import { ApiVersionProbe } from '../stores/infisical/versions/version-probe';
import { type Clock, type MonotonicTime, deadlineIn, waitFor } from '../time/clock';
import { type CallContext, UNATTENDED } from '../secrets/secret';
import { type KnownProject, MigrationFailed } from './predecessor-inventory';
import { MigrationInterrupted, type SourceSecret } from './secret-copier';

export type PredecessorOptions = Partial<RouteOptions> & {
  readonly url: string;
  /** Our machine identity in the organization of the predecessor. */
  readonly login: LoginCredentials;
  /** The key by which the predecessor signs the tokens of its users; without it no role can be given. */
  readonly jwtSecret: string | undefined;
  readonly requestTimeoutMs?: number;
};

/** Our role in a project cannot be given, or does not let us read: the project is skipped, with this word. */
export class ProjectInaccessible extends Error {
  constructor(
    readonly reason:
      'no_key_of_user_tokens' | 'no_session' | 'role_refused' | 'not_permitted' | 'list_too_large',
  ) {
    super(reason);
  }
}

const MEMBERSHIPS = '/api/v2/workspace/{projectId}/identity-memberships';
const MEMBERSHIP = `${MEMBERSHIPS}/{identityId}`;

/** The servers themselves cut a request at 30 s. */
const REQUEST_TIMEOUT_MS = 35_000;
/** Longer than any queue of this command under the servers' limits, which count by the minute. */
const MAX_WAIT_MS = 1_800_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_CONNECTIONS = 8;
const TOKEN_LIFETIME_S = 300;
const MAX_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 1_000;

/**
 * The Infisical of the predecessor. Secrets are read as our machine identity. Its roles are given and taken away as the project's member, with a
 * token that is signed as the predecessor signs it. Each route waits for the server's rate limit.
 */
export class PredecessorServer {
  readonly #client: InfisicalClient;
  readonly #api: InfisicalApi;
  readonly #requestTimeoutMs: number;

  constructor(
    private readonly options: PredecessorOptions,
    private readonly deps: {
      readonly clock: Clock;
      readonly time: MonotonicTime;
      readonly log: LogEvent;
      readonly signal: AbortSignal;
    },
  ) {
    const { clock, time, log } = deps;
    const requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.#requestTimeoutMs = requestTimeoutMs;
    const limits = new UpstreamRateLimits(time, (afterMs, ring) => time.after(afterMs, ring));
    const bounds = { maxConnections: MAX_CONNECTIONS, maxAnswerBytes: MAX_ANSWER_BYTES };
    this.#client = new InfisicalClient({ ...options, ...bounds }, limits, time);
    const apiVersions = new ApiVersionProbe(this.#client, requestTimeoutMs, clock, log);
    const login = loginMethod(this.#client, () => apiVersions.current(), options.login, requestTimeoutMs);
    this.#api = new InfisicalApi(this.#client, new MachineSession(login, clock, log), time, {
      apiVersions,
      requestTimeoutMs,
      budget: new RetryBudget(clock),
      minCallMs: 0,
    });
  }

  /** Returns the id of our machine identity, after a login. @throws MigrationFailed */
  async identityId(): Promise<string> {
    try {
      const id = identityIn(await this.#api.token(this.#within(this.#requestTimeoutMs)));
      if (id !== undefined) return id;
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      throw new MigrationFailed(
        `The machine identity cannot log in to the Infisical of the predecessor (${error.reason}).`,
      );
    }
    throw new MigrationFailed("The token of the machine identity does not tell the identity's id.");
  }

  /** Returns whether our identity has any role in the project. @throws ProjectInaccessible, MigrationFailed */
  async hasRole(project: KnownProject, identityId: string): Promise<boolean> {
    const { status, body } = await this.#asMember(project, 'GET', MEMBERSHIPS);
    const { identityMemberships } = fieldsOf(body);
    if (status !== 200 || !Array.isArray(identityMemberships)) throw new ProjectInaccessible('role_refused');
    return identityMemberships.some((row: unknown) => fieldsOf(row)['identityId'] === identityId);
  }

  /** Gives our identity the role viewer, which it does not have. @throws ProjectInaccessible, MigrationFailed */
  async grantViewer(project: KnownProject, identityId: string): Promise<void> {
    const { status } = await this.#asMember(project, 'POST', MEMBERSHIP, identityId);
    // An attempt whose answer was lost was carried out.
    if (status !== 200 && !(status === 400 && (await this.hasRole(project, identityId))))
      throw new ProjectInaccessible('role_refused');
  }

  /** Takes the role away. Resolves also where it is gone already. @throws ProjectInaccessible, MigrationFailed */
  async revoke(project: KnownProject, identityId: string): Promise<void> {
    const { status } = await this.#asMember(project, 'DELETE', MEMBERSHIP, identityId);
    if (status !== 200 && (await this.hasRole(project, identityId)))
      throw new ProjectInaccessible('role_refused');
  }

  /** A call is not aborted in its middle: only the wait for it is. */
  #within(timeoutMs: number): CallContext {
    return { deadline: deadlineIn(timeoutMs, this.deps.time), signal: UNATTENDED.signal };
  }

  /** Lists an environment, without imports and without expanding references. @throws ProjectInaccessible, MigrationInterrupted */
  async list(projectId: string, environment: string): Promise<readonly SourceSecret[]> {
    const { signal, time } = this.deps;
    const context = this.#within(MAX_WAIT_MS);
    for (let attempt = 1; ; attempt++) {
      try {
        const { parts, parse } = listing({ projectId, environment });
        const call = this.#api.call('listSecrets', parts, parse, context);
        // The call goes on unattended where the run is interrupted.
        const listed = await waitFor(call, { signal }).catch((error: unknown) => {
          throw signal.aborted ? new MigrationInterrupted() : error;
        });
        return listed === 'unchanged' ? [] : listed.rows;
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed)) throw error;
        const { reason } = error;
        if (reason === 'permissionDenied' || reason === 'notAMember')
          throw new ProjectInaccessible('not_permitted');
        if (reason === 'notFound:environment' || reason === 'notFound:project') return [];
        if (reason === 'answerTooLarge') throw new ProjectInaccessible('list_too_large');
        if (attempt >= MAX_ATTEMPTS) throw noAnswer(error);
        await time.pause(FIRST_PAUSE_MS * 2 ** attempt, signal);
      }
    }
  }

  close(): void {
    this.#api.close();
  }

  /** Makes a call as the project's member, and repeats it while the server fails: each of these calls may be made twice. */
  async #asMember(
    project: KnownProject,
    method: 'GET' | 'POST' | 'DELETE',
    pathTemplate: string,
    identityId?: string,
  ): Promise<TransportAnswer> {
    const path = pathTemplate.replace('{projectId}', project.id).replace('{identityId}', identityId ?? '');
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#client.send({
          call: 'migration',
          method,
          pathTemplate,
          target: path,
          bearer: this.#tokenOf(project),
          timeoutMs: this.#requestTimeoutMs,
          maxWaitMs: MAX_WAIT_MS,
          ...(method === 'POST' && { body: { role: 'viewer' } }),
        });
        // After a 429 the next attempt waits as long as the server says.
        if (answer.status === 429) attempt -= 1;
        else if (answer.status < 500 || refusesToken(answer) || attempt >= MAX_ATTEMPTS) return answer;
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed)) throw error;
        if (attempt >= MAX_ATTEMPTS) throw noAnswer(error);
      }
      await this.deps.time.pause(FIRST_PAUSE_MS * 2 ** (attempt - 1), NEVER);
    }
  }

  /** Signs a token of the member as the predecessor does. @throws ProjectInaccessible */
  #tokenOf({ member, organizationId }: KnownProject): string {
    const { jwtSecret } = this.options;
    if (jwtSecret === undefined) throw new ProjectInaccessible('no_key_of_user_tokens');
    if (member?.session === undefined) throw new ProjectInaccessible('no_session');
    const issuedAt = Math.floor(this.deps.clock.nowMs() / 1000);
    const claims = {
      authTokenType: 'accessToken',
      authMethod: 'email',
      userId: member.userId,
      tokenVersionId: member.session.id,
      accessVersion: member.session.accessVersion,
      organizationId,
      iat: issuedAt,
      exp: issuedAt + TOKEN_LIFETIME_S,
    };
    const parts = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    const signed = parts.join('.');
    return `${signed}.${createHmac('sha256', jwtSecret).update(signed).digest('base64url')}`;
  }
}

function noAnswer({ reason }: InfisicalCallFailed): MigrationFailed {
  return new MigrationFailed(`The Infisical of the predecessor does not answer as it should (${reason}).`);
}

/** The fork answers 500 to a token that is signed with another key. */
function refusesToken({ body }: TransportAnswer): boolean {
  const { message } = fieldsOf(body);
  return typeof message === 'string' && /^(jwt |invalid signature$|invalid token$)/.test(message);
}

const NEVER = new AbortController().signal;
