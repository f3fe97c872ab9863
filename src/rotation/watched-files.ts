import type { Clock } from '../clock/clock';
import type { MonotonicTime } from '../clock/monotonic-time';
import type { LogEvent } from '../logging/log';
import { FollowedFiles, type FilesOfValue } from './followed-files';
import type { Rotating } from './rotating';

const LOOKS_EVERY_MS = 1_000;

/**
 * Looks at a handful of small files once a second. Reading them costs less than being told of their changes, which
 * depends on how the folder is mounted: Kubernetes swaps a link, editors rename, others write in place.
 */
export class WatchedFiles {
  readonly #followed: FollowedFiles<unknown>[] = [];
  #stop: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {}

  /** @param initial what the files held when the settings were read; what they hold by now counts at once */
  follow<T>(files: FilesOfValue<T>, initial: T): Rotating<T> {
    const followed = new FollowedFiles(files, initial, this.clock, this.log);
    followed.renewed();
    this.#followed.push(followed as FollowedFiles<unknown>);
    if (this.#followed.length === 1) this.#lookLater();
    return followed;
  }

  close(): void {
    this.#stop();
  }

  #lookLater(): void {
    this.#stop = this.time.after(LOOKS_EVERY_MS, () => {
      for (const followed of this.#followed) followed.look();
      this.#lookLater();
    });
  }
}
