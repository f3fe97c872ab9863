import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Files = Readonly<Record<string, string>>;

/** The ways to replace files: as careful tools do, as Kubernetes does in a mounted Secret, as an editor may. */
export const WAYS_TO_REPLACE = ['by rename', "by Kubernetes' link", 'in place'] as const;
export type WayToReplace = (typeof WAYS_TO_REPLACE)[number];

/** A folder of credentials that are replaced in one of these ways. */
export class CredentialFolder {
  readonly dir = mkdtempSync(join(tmpdir(), 'credentials-'));
  #held: Files;
  #generation = 0;

  constructor(
    private readonly way: WayToReplace,
    files: Files,
  ) {
    this.#held = files;
    if (way !== "by Kubernetes' link") {
      for (const [name, content] of Object.entries(files)) writeFileSync(this.path(name), content);
      return;
    }
    this.#swap();
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), this.path(name));
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** @param meanwhile runs wherever a reader would see an unfinished state */
  async replace(files: Files, meanwhile: () => Promise<void>): Promise<void> {
    this.#held = { ...this.#held, ...files };
    if (this.way === "by Kubernetes' link") {
      this.#swap();
      return;
    }
    for (const [name, content] of Object.entries(files)) {
      if (this.way === 'by rename') {
        writeFileSync(this.path('.new'), content);
        renameSync(this.path('.new'), this.path(name));
        await meanwhile();
        continue;
      }
      for (const length of [0, content.length / 2, content.length]) {
        writeFileSync(this.path(name), content.slice(0, length));
        await meanwhile();
      }
    }
  }

  remove(): void {
    rmSync(this.dir, { recursive: true });
  }

  #swap(): void {
    const next = `..${this.#generation++}`;
    mkdirSync(this.path(next));
    for (const [name, content] of Object.entries(this.#held))
      writeFileSync(join(this.dir, next, name), content);
    symlinkSync(next, this.path('..data_tmp'));
    renameSync(this.path('..data_tmp'), this.path('..data'));
    if (this.#generation > 1) rmSync(this.path(`..${this.#generation - 2}`), { recursive: true });
  }
}
