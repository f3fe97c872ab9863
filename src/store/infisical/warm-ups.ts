import { ScopeQueue } from './scope-queue';

/** New projects whose keys are yet to be made by their first write. */
export class WarmUps {
  readonly #cold = new Set<string>();
  readonly #turns = new ScopeQueue();

  add(projectId: string): void {
    this.#cold.add(projectId);
  }

  drop(projectId: string): void {
    this.#cold.delete(projectId);
  }

  /** Lets one write of a new project go first: it makes the keys that the others use. */
  async run(projectId: string, write: () => Promise<void>): Promise<void> {
    const wentFirst = await this.#turns.run(projectId, async () => {
      if (!this.#cold.has(projectId)) return false;
      await write();
      return this.#cold.delete(projectId);
    });
    if (!wentFirst) await write();
  }
}
