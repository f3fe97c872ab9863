import type { SecretScope } from '../../secrets/secret';
import type { SecretRow } from './api/answers';
import type { Deadline } from '../../time/deadline';
import type { InfisicalApi } from './api/infisical-api';
import { failedBecause } from './versions/infisical-call-failed';
import type { Log } from './infisical-options';
import type { ListedRooms } from './listed-locations';
import type { ProjectDirectory } from './projects/project-directory';
import { listSecrets, retrieveSecret, type Room, surplusRows } from './api/secret-calls';

/** The rows of all names of a room, or of the one that was looked for. */
export interface Look {
  readonly whole: boolean;
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

interface ListManner {
  /** One that does not fit can be done without, and so can, `evenIfSlow`, one that does not come in time. */
  readonly dispensable: boolean;
  readonly evenIfSlow: boolean;
  readonly known?: string | undefined;
}

/** Reads a scope by one list of its room, or one name of it by itself where the room is huge and that is cheap. */
export class ScopeReader {
  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly rooms: ListedRooms,
    private readonly log: Log,
  ) {}

  /** Where a scope's secrets are; undefined for a workspace that has no project. */
  async room(scope: SecretScope, deadline: Deadline): Promise<Room | undefined> {
    const project = await this.projects.find(scope, deadline);
    return project === undefined ? undefined : { projectId: project.id, environment: scope.environment };
  }

  /** All rows of a scope. */
  async contents(scope: SecretScope, deadline: Deadline): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#wherever(scope, deadline, (room) => this.#list(room, deadline)));
  }

  /**
   * One look for a name: all rows of its scope, where that is how the scope is read.
   * @param known the revision of an earlier look at all rows, which may turn out to be unchanged
   */
  async lookFor(
    scope: SecretScope,
    name: string,
    deadline: Deadline,
    known?: string,
  ): Promise<Look | 'unchanged'> {
    return this.#wherever(scope, deadline, (room) => this.#lookIn(room, name, deadline, known));
  }

  /** The rows of one name: several where the server stored it more than once. */
  async rowsOf(scope: SecretScope, name: string, deadline: Deadline): Promise<readonly SecretRow[]> {
    return rowsIn(await this.lookFor(scope, name, deadline), name);
  }

  async rowsIn(room: Room, name: string, deadline: Deadline): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#lookIn(room, name, deadline), name);
  }

  /** Of a name that is known to be doubled, the server may show any row: without a list it cannot be read. */
  async #lookIn(room: Room, name: string, deadline: Deadline, known?: string): Promise<Look | 'unchanged'> {
    const { readsByNameAreCheap: cheap } = await this.api.dialect(deadline);
    const listed =
      (cheap || this.rooms.isTooLarge(room)) && this.rooms.isToReadByName(room, name)
        ? undefined
        : await this.#listIfAny(room, deadline, {
            dispensable: !this.rooms.isDoubled(room, name),
            evenIfSlow: cheap,
            known,
          });
    if (listed !== undefined) return listed;
    return { whole: false, rows: await this.#retrieve(room, name, deadline) };
  }

  /**
   * How many rows an update of this name would find. An update changes one row only, so that a name that is there
   * more than once must be known; that it is not there at all, the server itself says to the update. Where no list
   * can tell, it is taken to be there once.
   * @throws InfisicalCallFailed where an earlier list showed it doubled and there is no list now
   */
  async copies(room: Room, name: string, deadline: Deadline): Promise<number> {
    if (this.rooms.hasSingle(room, name)) return 1;
    const dispensable = !this.rooms.isDoubled(room, name);
    const look = await this.#listIfAny(room, deadline, { dispensable, evenIfSlow: true });
    return look === undefined ? 1 : rowsIn(look, name).length;
  }

  createInDoubt(room: Room, name: string): void {
    this.rooms.createInDoubt(room, name);
  }

  /** A delete takes all rows of a name. */
  deleted(room: Room, name: string): void {
    this.rooms.deleted(room, name);
  }

  /** Ids are kept; when the server does not know one any more, it is asked for them again, once. */
  async despiteStaleIds<T>(scope: SecretScope, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project', 'notFound:environment', 'notAMember')) throw error;
      this.log('infisical.project.stale', { reason: error.reason });
      this.projects.forget(scope);
      return attempt();
    }
  }

  /** A project that was deleted by hand is looked for anew; an environment that was is empty. */
  async #wherever(
    scope: SecretScope,
    deadline: Deadline,
    read: (room: Room) => Promise<Look | 'unchanged'>,
  ): Promise<Look | 'unchanged'> {
    return this.despiteStaleIds(scope, async () => {
      const room = await this.room(scope, deadline);
      if (room === undefined) return whole([]);
      try {
        return await read(room);
      } catch (error: unknown) {
        if (!failedBecause(error, 'notFound:environment')) throw error;
        this.rooms.forget(room);
        return whole([]);
      }
    });
  }

  async #list(room: Room, deadline: Deadline, known?: string): Promise<Look | 'unchanged'> {
    const list = await this.rooms.whileListing(room, () => listSecrets(this.api, room, deadline, known));
    if (list === 'unchanged') {
      this.rooms.unchanged(room);
      return list;
    }
    this.rooms.listed(room, list.rows);
    const surplus = surplusRows(list.rows);
    if (surplus > 0) this.log('infisical.duplicates.served', { surplus });
    return { whole: true, ...list };
  }

  /** Undefined, where the caller can do without, for a room that is too large for a list or once more for its time. */
  async #listIfAny(
    room: Room,
    deadline: Deadline,
    { dispensable, evenIfSlow, known }: ListManner,
  ): Promise<Look | 'unchanged' | undefined> {
    try {
      return await this.#list(room, deadline, known);
    } catch (error: unknown) {
      if (!failedBecause(error, 'answerTooLarge', 'timedOut') || error.call !== 'listSecrets') throw error;
      const tooLarge = error.reason === 'answerTooLarge';
      const forGood = tooLarge || this.rooms.isHuge(room);
      this.rooms.unlistable(room, { forGood, tooLarge });
      if (!forGood || !dispensable || !(tooLarge || evenIfSlow)) throw error;
      this.log('infisical.list.dispensed', { reason: error.reason });
      return undefined;
    }
  }

  async #retrieve(room: Room, name: string, deadline: Deadline): Promise<readonly SecretRow[]> {
    try {
      return [await retrieveSecret(this.api, room, name, deadline)];
    } catch (error: unknown) {
      if (failedBecause(error, 'notFound:secret', 'nameRefused')) return [];
      throw error;
    }
  }
}

/** Of one name, or all. What was looked at without a known revision is never 'unchanged'. */
function rowsIn(look: Look | 'unchanged', name?: string): readonly SecretRow[] {
  const { rows } = look === 'unchanged' ? whole([]) : look;
  return name === undefined ? rows : rows.filter((row) => row.name === name);
}

function whole(rows: readonly SecretRow[]): Look {
  return { whole: true, rows };
}
