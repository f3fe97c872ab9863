/** One row of the table that must be met. The first four fields are what the JSON shows. */
export interface Figure {
  readonly name: string;
  readonly value: number | string;
  readonly target: string;
  readonly ok: boolean;
  /** Whether it is within the wider bound that a machine full of other work must keep; absent, CI goes by `ok`. */
  readonly inCi?: boolean;
}

/** What was measured beside, for people; nothing depends on it. */
export interface Observation {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

export interface Measured {
  readonly figures?: readonly Figure[];
  readonly observations?: readonly Observation[];
}

/** @param ciBound for the short form, where rounds are few and the machine is shared */
export function atMost(name: string, value: number, target: number, ciBound: number): Figure {
  return { name, value: rounded(value), target: `<= ${target}`, ok: value <= target, inCi: value <= ciBound };
}

export function atLeast(name: string, value: number, target: number, ciBound: number): Figure {
  return { name, value: rounded(value), target: `>= ${target}`, ok: value >= target, inCi: value >= ciBound };
}

export function observed(name: string, value: number, unit: string): Observation {
  return { name, value: rounded(value), unit };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
