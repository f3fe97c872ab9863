import type { Clock } from '../../../time/clock';
import { StoreUnavailable } from '../../../errors/store-errors';
import { fieldsOf } from '../../../json/json';
import { isId, parseIdentityOrganization, parseProjects, type Project } from '../api/answers';
import type { CallContext } from '../../../secrets/secret';
import type { ApiVersion } from '../versions/api-version';
import type { FailureReason } from '../versions/calls';
import type { InfisicalApi } from '../api/infisical-api';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import { SingleFlight } from '../../../concurrency/keyed-work';

/** While the setting is wrong or the server does not answer, the check is repeated at most this often. */
const RETRY_AFTER_MS = 5_000;

/** Shown to an operator in readiness and in the log. It shows neither id: the server's is not public. */
export const OTHER_ORGANIZATION =
  'INFISICAL_ORGANIZATION_ID is not the organization of the machine identity: correct it (infisical.organizationId in the chart), or remove it.';
const UNTOLD =
  'Infisical does not tell the organization of the machine identity, so INFISICAL_ORGANIZATION_ID is compared with its projects alone: give the identity the organization role member.';

/** Answers that do not tell the organization, and would not if the check were repeated. */
const NOT_TOLD: ReadonlySet<FailureReason> = new Set([
  'permissionDenied',
  'notAMember',
  'invalidRequest',
  'routeNotFound',
  'notUnderstood',
  'unexpectedAnswer',
]);

/** `untold` where the server cannot tell, or the identity has no right to ask; `unanswered` where the server failed. */
type OrganizationVerdict = 'same' | 'other' | 'untold' | 'unanswered';

interface OrganizationFinding {
  readonly verdict: OrganizationVerdict;
  /** The token of the check: another login may be at another server, or of another identity. */
  readonly accessToken: string;
  readonly atMs: number;
}

/** Checks that INFISICAL_ORGANIZATION_ID is the organization of our machine identity: once for each login, and again while it is not. */
export class OrganizationCheck {
  readonly #checks = new SingleFlight<void>();
  #finding: OrganizationFinding | undefined;
  #metId: string | undefined;

  constructor(
    private readonly api: InfisicalApi,
    private readonly settingId: string | undefined,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {}

  /** The organization of the setting, or else of the last project that named one. */
  get organizationId(): string | undefined {
    return this.settingId ?? this.#metId;
  }

  /**
   * Resolves where the setting is right, unset, or cannot be compared.
   * @throws StoreUnavailable where it is another organization; InfisicalCallFailed where Infisical did not answer
   */
  async require(context: CallContext): Promise<void> {
    const organizationId = this.settingId;
    if (organizationId === undefined) return;
    const accessToken = await this.api.token(context);
    if (!this.#isSettled(accessToken)) {
      const check = (shared: CallContext) => this.#check(organizationId, accessToken, shared);
      await this.api.joined(this.#checks, accessToken, 'checkOrganization', check, context);
    }
    if (this.#finding?.verdict === 'other') throw new StoreUnavailable();
  }

  /**
   * Checks the organization of a project; one without an organization passes.
   * @throws StoreUnavailable where it belongs to another organization
   */
  requireOurs(project: Project, slug: string): void {
    this.#metId = project.organizationId ?? this.#metId;
    if (this.settingId === undefined || project.organizationId === undefined) return;
    const isOurs = project.organizationId === this.settingId;
    const accessToken = this.api.heldToken() ?? '';
    if (!isOurs) this.#settle('other', accessToken, { project: slug });
    else if (this.#finding?.verdict !== 'same') this.#settle('same', accessToken);
    if (!isOurs) throw new StoreUnavailable();
  }

  /** Returns one sentence for each problem that an operator should know although calls succeed. */
  problems(): readonly string[] {
    return this.#finding?.verdict === 'untold' ? [UNTOLD] : [];
  }

  #isSettled(accessToken: string): boolean {
    const { verdict, atMs, accessToken: of } = this.#finding ?? {};
    if (of !== accessToken || atMs === undefined) return false;
    const ageMs = this.clock.nowMs() - atMs;
    const isFinal = verdict === 'same' || verdict === 'untold';
    return isFinal || (ageMs >= 0 && ageMs < RETRY_AFTER_MS);
  }

  async #check(organizationId: string, accessToken: string, context: CallContext): Promise<void> {
    const verdict = await this.#ask(organizationId, accessToken, context);
    const before = this.#finding;
    // A mismatch that a project showed to the same identity stays, and without an answer nothing changes.
    const stays = verdict === 'unanswered' || (verdict === 'untold' && before?.accessToken === accessToken);
    this.#settle(stays && before?.verdict === 'other' ? 'other' : verdict, accessToken);
  }

  async #ask(
    organizationId: string,
    accessToken: string,
    context: CallContext,
  ): Promise<OrganizationVerdict> {
    const identityId = identityIn(accessToken);
    const { tellsOrganization } = await this.api.apiVersion(context);
    if (tellsOrganization === 'withIdentity' && identityId === undefined) return 'untold';
    const parts = () => ({ path: { organizationId, identityId: identityId ?? '' } });
    const read = (body: unknown): OrganizationVerdict | undefined => {
      const told = parseIdentityOrganization(body);
      if (told !== undefined) return told === organizationId ? 'same' : 'other';
      return parseProjects(body) === undefined ? undefined : 'same';
    };
    try {
      return await this.api.call('checkOrganization', parts, read, context);
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      return verdictAfter(error, (await this.api.apiVersion(context)).tellsOrganization);
    }
  }

  #settle(
    verdict: OrganizationVerdict,
    accessToken: string,
    fields: Readonly<Record<string, string>> = {},
  ): void {
    const before = this.#finding?.verdict;
    this.#finding = { verdict, accessToken, atMs: this.clock.nowMs() };
    if (verdict === before) return;
    if (verdict === 'other')
      this.log('warn', 'infisical_organization_mismatch', { ...fields, advice: OTHER_ORGANIZATION });
    if (verdict === 'untold') this.log('warn', 'infisical_organization_unknown', { advice: UNTOLD });
    if (verdict === 'same' && before === 'other') this.log('info', 'infisical_organization_verified', {});
  }
}

/** Returns the verdict of a refusal: the fork lists an organization's projects to its members only. */
function verdictAfter(
  error: InfisicalCallFailed,
  tells: ApiVersion['tellsOrganization'],
): OrganizationVerdict {
  const byRefusal = tells === 'byRefusal';
  const { reason } = error;
  // A failure decides nothing, and the caller goes on.
  if (reason === 'serverFailure') return 'unanswered';
  if (byRefusal && reason === 'notAMember') return 'other';
  // The role may not list them, or they are larger than the limit of an answer: both happen to members only.
  if (byRefusal && (reason === 'permissionDenied' || reason === 'answerTooLarge')) return 'same';
  if (NOT_TOLD.has(reason)) return 'untold';
  throw error;
}

/** Returns the identity id in our own token, which is read without verifying it; undefined where there is none. */
export function identityIn(accessToken: string): string | undefined {
  try {
    const claims = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString();
    const id = fieldsOf(JSON.parse(claims))['identityId'];
    return isId(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
