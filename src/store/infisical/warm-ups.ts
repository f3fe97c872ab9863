import { LRUCache } from 'lru-cache';
import { ScopeQueue, type Patience } from './scope-queue';

/** New projects whose keys are yet to be made by their first write; those whose first write never came go first. */
export class WarmUps {
  readonly #cold: LRUCache<string, true>;
  readonly #turns = new ScopeQueue();

  constructor(max: number) {
    this.#cold = new LRUCache({ max });
  }

  add(projectId: string): void {
    this.#cold.set(projectId, true);
  }

  drop(projectId: string): void {
    this.#cold.delete(projectId);
  }

  /** Lets one write of a new project go first: it makes the keys that the others use. */
  async run(projectId: string, write: () => Promise<void>, patience: Patience): Promise<void> {
    const first = async (): Promise<boolean> => {
      if (!this.#cold.has(projectId)) return false;
      await write();
      return this.#cold.delete(projectId);
    };
    const wentFirst = await this.#turns.run(projectId, first, patience);
    if (!wentFirst) await write();
  }
}
