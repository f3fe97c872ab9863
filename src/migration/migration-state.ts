import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCodeOf } from '../errors/domain-error';
import { fieldsOf } from '../json/json';
import { UsageError } from '../errors/operator-errors';
import { type AssignedProject, MigrationFailed } from './predecessor-inventory';

export interface SkippedSecret {
  readonly name: string;
  /** A word: `name_not_allowed`, `quota_exceeded` and the like. */
  readonly reason: string;
}

/** What became of the secrets of one environment of one project. `read` counts each name once. */
export interface EnvironmentResult {
  readonly read: number;
  /** Rows beyond one for each name: the highest version counts. */
  readonly duplicates: number;
  /** In a dry run, what would be written. */
  readonly written: number;
  readonly equal: number;
  /** Names that the store has with another value, which was left as it is. */
  readonly different: readonly string[];
  readonly skipped: readonly SkippedSecret[];
}

/** Between what a run copies, each by its address and as whom: what was copied to another place is missing here. */
export interface MigrationEnds {
  /** The Infisical of the predecessor, and our machine identity there, which has the roles. */
  readonly source: string;
  readonly target: string;
}

interface StateContent extends MigrationEnds {
  readonly version: 1;
  readonly dryRun: boolean;
  /** Projects in which our identity was given the role, or was about to be. */
  readonly granted: readonly string[];
  readonly done: Record<string, Record<string, EnvironmentResult>>;
}

type StateOptions = MigrationEnds & { readonly dryRun: boolean; readonly resume: boolean };

/**
 * How far a run is, in a file that only its owner may read. It holds names and counts and never a value. Each change is durable when its
 * promise resolves, and the file is replaced as a whole, so that a run that was killed can be continued.
 */
export class MigrationState {
  readonly #granted: Set<string>;
  /** By migrationKey() and environment. */
  readonly #done: Record<string, Record<string, EnvironmentResult>>;
  #saving: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  private constructor(
    private readonly path: string,
    private readonly options: StateOptions,
    content: Pick<StateContent, 'granted' | 'done'>,
  ) {
    this.#granted = new Set(content.granted);
    this.#done = content.done;
  }

  /** @throws UsageError where there is a state of an earlier run and `resume` is not set; MigrationFailed where it cannot be used */
  static async open(path: string, options: StateOptions): Promise<MigrationState> {
    const content = await readState(path);
    if (content !== undefined && !options.resume)
      throw new UsageError(
        `${path} is of a run that did not end: --resume goes on with it, and takes back the roles that it left.`,
      );
    for (const end of ['source', 'target'] as const)
      if (content !== undefined && content[end] !== options[end])
        throw new UsageError(
          `${path} is of a run with another ${end} (Infisical, folder or machine identity): --state names another file.`,
        );
    // What a dry run has read was not written.
    const done = content?.dryRun === options.dryRun ? content.done : {};
    const state = new MigrationState(path, options, { granted: content?.granted ?? [], done });
    await state.#save();
    return state;
  }

  get granted(): readonly string[] {
    return [...this.#granted];
  }

  /** Whether there is nothing to go on with. */
  get isEmpty(): boolean {
    return this.#granted.size === 0 && Object.keys(this.#done).length === 0;
  }

  isGranted(project: string): boolean {
    return this.#granted.has(project);
  }

  resultOf(project: AssignedProject, environment: string): EnvironmentResult | undefined {
    return this.#done[migrationKey(project)]?.[environment];
  }

  async setGranted(project: string, isGranted: boolean): Promise<void> {
    if (isGranted) this.#granted.add(project);
    else this.#granted.delete(project);
    await this.#save();
  }

  async setDone(project: AssignedProject, environment: string, result: EnvironmentResult): Promise<void> {
    (this.#done[migrationKey(project)] ??= {})[environment] = result;
    await this.#save();
  }

  async remove(): Promise<void> {
    await this.#saving.catch(() => undefined);
    await rm(this.path, { force: true });
  }

  /** Changes that come while the file is being written are written together after it, also where that fails. */
  #save(): Promise<void> {
    this.#waiting ??= this.#saving
      .catch(() => undefined)
      .then(() => {
        this.#waiting = undefined;
        return this.#write();
      });
    this.#saving = this.#waiting;
    return this.#saving;
  }

  async #write(): Promise<void> {
    const { source, target, dryRun } = this.options;
    const { granted } = this;
    const content: StateContent = { version: 1, source, target, dryRun, granted, done: this.#done };
    const draft = `${this.path}.new`;
    try {
      await rm(draft, { force: true });
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      await withOpen(await open(draft, flags, 0o600), async (file) => {
        await file.writeFile(JSON.stringify(content));
        await file.sync();
      });
      await rename(draft, this.path);
      await withOpen(await open(dirname(this.path)), (folder) => folder.sync());
    } catch {
      throw new MigrationFailed(`The state of the run cannot be written to ${this.path}.`);
    }
  }
}

async function withOpen(handle: FileHandle, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}

async function readState(path: string): Promise<StateContent | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error: unknown) {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw new MigrationFailed(`The state of the run in ${path} cannot be read.`);
  }
  try {
    const { version, source, target, dryRun, granted, done } = fieldsOf(JSON.parse(text));
    const hasEnds = typeof source === 'string' && typeof target === 'string';
    if (version === 1 && hasEnds && typeof dryRun === 'boolean' && Array.isArray(granted) && isDone(done))
      return { version, source, target, dryRun, granted: granted.map(String), done };
  } catch {
    // Reported below: the parser's error would quote the text.
  }
  throw new MigrationFailed(`${path} holds no state of a run that this release can read.`);
}

function isDone(value: unknown): value is StateContent['done'] {
  return (
    isRecord(value) &&
    Object.values(value).every((one) => isRecord(one) && Object.values(one).every(isResult))
  );
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isResult(value: unknown): value is EnvironmentResult {
  const { read, duplicates, written, equal, different, skipped } = fieldsOf(value);
  const areCounts = [read, duplicates, written, equal].every((count) => Number.isSafeInteger(count));
  return areCounts && Array.isArray(different) && Array.isArray(skipped);
}

/** A project whose user was another one when it was copied was not copied for this one. */
function migrationKey({ id, user, workspace }: AssignedProject): string {
  return `${id} ${user}/${workspace}`;
}
