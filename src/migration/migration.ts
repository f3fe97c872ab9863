import type { EnvironmentResult, MigrationState } from './migration-state';
import {
  type AssignedProject,
  type KnownProject,
  MigrationFailed,
  type MigrationPlan,
} from './predecessor-inventory';
import { type PredecessorServer, ProjectInaccessible } from './predecessor-server';
import { MigrationInterrupted, type SecretCopier } from './secret-copier';

interface MigrationDeps {
  readonly server: PredecessorServer;
  readonly copier: SecretCopier;
  readonly state: MigrationState;
  readonly signal: AbortSignal;
  readonly progress: MigrationProgress;
}

/** Called after each environment, with how many environments and secrets were moved. */
type MigrationProgress = (environments: number, ofAll: number, secrets: number) => void;

export interface ProjectOutcome {
  readonly project: AssignedProject;
  readonly results: ReadonlyMap<string, EnvironmentResult>;
  /** Why it, or what is left of it, was not read. */
  readonly failure?: string;
}

export interface MigrationOutcome {
  readonly projects: readonly ProjectOutcome[];
  /** Why the run ended early. */
  readonly failure?: MigrationFailed;
  /** The names of projects in which our identity still has the role. */
  readonly rolesLeft: readonly string[];
}

/** While the lists wait for the rate limit, the roles of the projects after them are given already. */
const WORKERS = 6;

/** Copies all projects of the plan. It ends with every role taken away again that it gave, however it ends, or says where one is left. */
export async function migrate(plan: MigrationPlan, deps: MigrationDeps): Promise<MigrationOutcome> {
  return new Migration(plan, deps, await deps.server.identityId()).run();
}

class Migration {
  readonly #outcomes = new Map<string, ProjectOutcome>();
  readonly #waiting: AssignedProject[];
  readonly #environments: number;
  #failure: MigrationFailed | undefined;
  #environmentsDone = 0;
  #secrets = 0;

  constructor(
    private readonly plan: MigrationPlan,
    private readonly deps: MigrationDeps,
    private readonly identityId: string,
  ) {
    this.#waiting = [...plan.projects];
    this.#environments = plan.projects.reduce((sum, { known }) => sum + known.length, 0);
  }

  async run(): Promise<MigrationOutcome> {
    await this.#revokeLeftovers();
    await Promise.all(Array.from({ length: WORKERS }, () => this.#work()));
    const rolesLeft = this.deps.state.granted.map(
      (id) => this.plan.known.find((one) => one.id === id)?.name ?? id,
    );
    const failure = this.#failure ?? (this.deps.signal.aborted ? new MigrationInterrupted() : undefined);
    const projects = this.plan.projects.flatMap(({ id }) => this.#outcomes.get(id) ?? []);
    return { projects, rolesLeft, ...(failure !== undefined && { failure }) };
  }

  /** Takes back the roles that an earlier run left. */
  async #revokeLeftovers(): Promise<void> {
    for (const id of this.deps.state.granted) {
      const project = this.plan.known.find((one) => one.id === id);
      // A project that is gone has no roles.
      if (project === undefined) await this.deps.state.setGranted(id, false);
      else await this.#revoke(project);
    }
  }

  async #work(): Promise<void> {
    for (;;) {
      const project = this.#isOver() ? undefined : this.#waiting.shift();
      if (project === undefined) return;
      const results = new Map<string, EnvironmentResult>();
      const failure = await this.#copyProject(project, results);
      this.#outcomes.set(project.id, { project, results, ...(failure !== undefined && { failure }) });
    }
  }

  /** Returns why the project, or what is left of it, cannot be read. */
  async #copyProject(
    project: AssignedProject,
    results: Map<string, EnvironmentResult>,
  ): Promise<string | undefined> {
    const { state } = this.deps;
    for (const environment of project.known) {
      const done = state.resultOf(project, environment);
      if (done !== undefined) this.#moved(results, environment, done);
    }
    if (results.size === project.known.length) return undefined;
    try {
      await this.#ensureRole(project);
      for (const environment of project.known) {
        if (results.has(environment) || this.#isOver()) continue;
        const { id, user, workspace } = project;
        const rows = await this.deps.server.list(id, environment);
        const result = await this.deps.copier.copy({ user, workspace, environment }, rows);
        await state.setDone(project, environment, result);
        this.#moved(results, environment, result);
      }
      return undefined;
    } catch (error: unknown) {
      if (error instanceof ProjectInaccessible) return error.reason;
      this.#failure ??= failureOf(error);
      return undefined;
    } finally {
      if (state.isGranted(project.id)) await this.#revoke(project);
    }
  }

  /** Gives our identity the role viewer where it has none. A role that it has already is left as it is. */
  async #ensureRole(project: AssignedProject): Promise<void> {
    const { server, state } = this.deps;
    try {
      if (await server.hasRole(project, this.identityId)) return;
    } catch (error: unknown) {
      // Without the means to give a role, one that was given by hand may do.
      if (error instanceof ProjectInaccessible && error.reason === 'no_key_of_user_tokens') return;
      throw error;
    }
    // Noted first: a run that is killed between the two takes back what may have been given.
    await state.setGranted(project.id, true);
    await server.grantViewer(project, this.identityId);
  }

  async #revoke(project: KnownProject): Promise<void> {
    try {
      await this.deps.server.revoke(project, this.identityId);
      await this.deps.state.setGranted(project.id, false);
    } catch (error: unknown) {
      // It stays in the state, and the report names it.
      if (!(error instanceof ProjectInaccessible)) this.#failure ??= failureOf(error);
    }
  }

  #moved(results: Map<string, EnvironmentResult>, environment: string, result: EnvironmentResult): void {
    results.set(environment, result);
    this.#environmentsDone += 1;
    this.#secrets += result.read;
    this.deps.progress(this.#environmentsDone, this.#environments, this.#secrets);
  }

  #isOver(): boolean {
    return this.#failure !== undefined || this.deps.signal.aborted;
  }
}

/** Returns the error for the operator; of a foreign one, whose message may hold a value, no more than its class. */
function failureOf(error: unknown): MigrationFailed {
  if (error instanceof MigrationFailed) return error;
  const kind = error instanceof Error ? error.constructor.name : typeof error;
  return new MigrationFailed(`The run failed unexpectedly (${kind}).`);
}

const PROGRESS_EACH_MS = 10_000;

/** Returns what tells of the progress: on a terminal in one line, else as a line of JSON each ten seconds. */
export function printedProgress(
  print: (text: string) => void,
  isTerminal: boolean,
  nowMs: () => number,
): MigrationProgress {
  let lastMs = -Infinity;
  return (environments, ofAll, secrets) => {
    const end = environments === ofAll ? '\n' : '';
    if (isTerminal) return print(`\r${environments} of ${ofAll} environments, ${secrets} secrets${end}`);
    if (nowMs() - lastMs < PROGRESS_EACH_MS) return;
    lastMs = nowMs();
    print(`${JSON.stringify({ event: 'progress', environments, ofAll, secrets })}\n`);
  };
}
