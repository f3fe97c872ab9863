import { Controller, Get } from '@nestjs/common';
import { DomainError } from '../../errors/domain-error';
import { GrantSource, type GrantProblem } from '../../authz/grant-source';
import { SecretStore } from '../../secrets/secret-store';
import { Drain } from '../server/drain';
import { ok, type Envelope } from '../answers/envelope';
import { PublicRoute } from '../request/route-sender';

/** What an operator should mend although the service is ready, beside the grants: one sentence each. */
export class ServiceProblems {
  constructor(readonly sentences: () => readonly string[]) {}
}

interface Readiness {
  readonly store: string;
  readonly grants: string;
  readonly installedApps: number;
  /** What an operator should mend although the service is ready, one sentence each. */
  readonly problems: readonly string[];
}

@Controller()
@PublicRoute()
export class HealthController {
  /** Anybody may ask, and as often as they like: the store is asked once at a time. */
  private asking: Promise<string> | undefined;

  constructor(
    private readonly store: SecretStore,
    private readonly grants: GrantSource,
    private readonly drain: Drain,
    private readonly service: ServiceProblems,
  ) {}

  /** The process answers; it says nothing of its dependencies, or an outage of theirs would restart us. */
  @Get('livez')
  live(): Envelope<''> {
    return ok('');
  }

  /** 503 while the store or the grants are out of reach, or while draining. */
  @Get('readyz')
  async ready(): Promise<Envelope<Readiness>> {
    this.asking ??= this.storeState().finally(() => (this.asking = undefined));
    const store = await this.asking;
    const grants = this.grants.status();
    const readiness: Readiness = {
      store,
      grants: grants.ready ? 'ok' : (grants.unavailableBecause ?? 'not loaded yet'),
      installedApps: grants.installedApps,
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

/** Counts only: whoever may ask for readiness need not know whose apps there are. The log names them. */
function sentencesOf(problems: readonly GrantProblem[]): readonly string[] {
  const kept = problems.filter(({ servedFromLastGood }) => servedFromLastGood).length;
  return [
    ...sentence(problems.length - kept, 'cannot be served'),
    ...sentence(kept, 'can no longer be read and stay as they last were'),
  ];
}

function sentence(count: number, what: string): readonly string[] {
  return count === 0 ? [] : [`Grants of ${count} source(s) ${what}: grants_problem in the log names them.`];
}
