import { Controller, Get } from '@nestjs/common';
import { DomainError } from '../../errors/domain-error';
import type { GrantProblem } from '../../authz/grant-index';
import { GrantSource } from '../../authz/grant-source';
import { SecretStore } from '../../secrets/secret-store';
import { Drain } from '../guards/admission.guard';
import { ok, type Envelope } from '../answers/envelope';
import { PublicRoute } from '../request/provider-request';

/** Collects what an operator should fix although the service is ready, apart from grants, one sentence each. */
export class ServiceProblems {
  readonly #sources: (() => readonly string[])[] = [];

  add(source: () => readonly string[]): void {
    this.#sources.push(source);
  }

  sentences(): readonly string[] {
    return this.#sources.flatMap((source) => source());
  }
}

interface Readiness {
  readonly store: string;
  readonly grants: string;
  readonly installedApps: number;
  /** In a cluster: the kinds of resources that grants are read from. */
  readonly grantFeeds?: readonly string[];
  /** In a cluster: how many grants await an approval; `grants_pending` in the log names them. */
  readonly pendingGrants?: number;
  /** Which Olares was found. */
  readonly olares?: string;
  /** What an operator should fix although the service is ready, one sentence each. */
  readonly problems: readonly string[];
}

@Controller()
@PublicRoute()
export class HealthController {
  /** Anybody may call readiness as often as they like: the store is pinged once at a time. */
  private pinging: Promise<string> | undefined;

  constructor(
    private readonly store: SecretStore,
    private readonly grants: GrantSource,
    private readonly drain: Drain,
    private readonly service: ServiceProblems,
  ) {}

  /** Answers 200 while the process runs, whatever its dependencies do: their outage must not restart us. */
  @Get('livez')
  live(): Envelope<''> {
    return ok('');
  }

  /** Answers 503 while the store or the grants are unavailable, or while draining. */
  @Get('readyz')
  async ready(): Promise<Envelope<Readiness>> {
    this.pinging ??= this.storeState().finally(() => (this.pinging = undefined));
    const store = await this.pinging;
    const grants = this.grants.status();
    const readiness: Readiness = {
      store,
      grants: grants.ready ? 'ok' : (grants.unavailableBecause ?? 'not loaded yet'),
      installedApps: grants.installedApps,
      ...(grants.feeds !== undefined && { grantFeeds: grants.feeds }),
      ...(grants.pendingGrants !== undefined && { pendingGrants: grants.pendingGrants }),
      ...(grants.olares !== undefined && { olares: grants.olares }),
      problems: [...sentencesOf(grants.problems), ...this.service.sentences()],
    };
    if (store === 'ok' && grants.ready && !this.drain.draining) return ok(readiness);
    const message = this.drain.draining ? 'Shutting down.' : 'Not ready: a dependency is missing.';
    throw new DomainError('NOT_READY', message, { ...readiness });
  }

  private async storeState(): Promise<string> {
    try {
      await this.store.ping();
      return 'ok';
    } catch (error: unknown) {
      return error instanceof DomainError ? error.message : 'unavailable';
    }
  }
}

/** Counts problems without naming apps: readiness is public. The log names them. */
function sentencesOf(problems: readonly GrantProblem[]): readonly string[] {
  const outdated = problems.filter(({ servedFromLastGood }) => servedFromLastGood).length;
  return [
    ...sentence(problems.length - outdated, 'cannot be served'),
    ...sentence(outdated, 'can no longer be read and stay as they last were'),
  ];
}

function sentence(count: number, what: string): readonly string[] {
  return count === 0 ? [] : [`Grants of ${count} source(s) ${what}: grants_problem in the log names them.`];
}
