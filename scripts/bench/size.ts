/** How much is done for each figure. */
export interface Size {
  readonly rounds: number;
  readonly warmUpRequests: number;
  /** In each round, on either side. */
  readonly cpuRequests: number;
  readonly throughputSeconds: number;
  readonly coldReads: number;
  readonly forkReads: number;
  readonly predecessorReads: number;
  readonly floodSeconds: number;
  readonly decisions: number;
  readonly steadyRequests: number;
  readonly outageSeconds: number;
  /** Shorter than the outage, so that what is kept becomes stale within it. */
  readonly outageTtlMs: number;
}

export const FULL: Size = {
  rounds: 5,
  warmUpRequests: 10_000,
  cpuRequests: 10_000,
  throughputSeconds: 4,
  coldReads: 60,
  forkReads: 20,
  predecessorReads: 5,
  floodSeconds: 6,
  decisions: 500_000,
  steadyRequests: 1_000_000,
  outageSeconds: 30,
  outageTtlMs: 5_000,
};

export const SHORT: Size = {
  rounds: 3,
  warmUpRequests: 2_000,
  cpuRequests: 1_500,
  throughputSeconds: 1,
  coldReads: 25,
  forkReads: 8,
  predecessorReads: 2,
  floodSeconds: 1.5,
  decisions: 200_000,
  steadyRequests: 10_000,
  outageSeconds: 4,
  outageTtlMs: 1_000,
};
