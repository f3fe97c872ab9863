/** How much is measured for each figure. */
export interface Size {
  readonly rounds: number;
  readonly warmUpSeconds: number;
  /** In each round, on either side. */
  readonly cpuSeconds: number;
  readonly throughputSeconds: number;
  readonly coldReads: number;
  readonly forkReads: number;
  readonly predecessorReads: number;
  readonly floodSeconds: number;
  readonly decisions: number;
  readonly steadyRequests: number;
  /** The short form does not wait longer, however few they were. */
  readonly steadySeconds: number;
  readonly outageSeconds: number;
  /** Shorter than the outage, so that what is kept becomes stale within it. */
  readonly outageTtlMs: number;
  /** Of reads of one kind, when it is seen how they grow. */
  readonly growthSeconds: number;
}

export const FULL: Size = {
  rounds: 5,
  warmUpSeconds: 12,
  cpuSeconds: 4,
  throughputSeconds: 4,
  coldReads: 60,
  forkReads: 20,
  predecessorReads: 5,
  floodSeconds: 6,
  decisions: 500_000,
  steadyRequests: 1_000_000,
  steadySeconds: Infinity,
  outageSeconds: 30,
  outageTtlMs: 5_000,
  growthSeconds: 2,
};

export const SHORT: Size = {
  rounds: 3,
  warmUpSeconds: 6,
  cpuSeconds: 0.8,
  throughputSeconds: 0.8,
  coldReads: 25,
  forkReads: 8,
  predecessorReads: 2,
  floodSeconds: 1.5,
  decisions: 200_000,
  steadyRequests: 10_000,
  steadySeconds: 4,
  outageSeconds: 3,
  outageTtlMs: 1_000,
  growthSeconds: 0.2,
};
