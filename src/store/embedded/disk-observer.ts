export interface DiskFigures {
  /** What may be stored before creates and updates are refused; 0: they are. */
  readonly storableBytes: number;
}

/** Whoever wants to know how full the disk is. */
export interface DiskObserver {
  opened(figures: () => Promise<DiskFigures>): void;
}
