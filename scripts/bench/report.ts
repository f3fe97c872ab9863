import type { Figure, Observation } from './figure';

export interface Report {
  readonly figures: readonly Pick<Figure, 'name' | 'value' | 'target' | 'ok'>[];
  readonly observations: readonly Observation[];
  /** By the wider bounds. */
  readonly ci: { readonly passed: number; readonly failed: number };
}

export const holdsInCi = ({ ok, inCi }: Figure): boolean => inCi ?? ok;

export function reportOf(figures: readonly Figure[], observations: readonly Observation[]): Report {
  const passed = figures.filter(holdsInCi).length;
  return {
    figures: figures.map(({ name, value, target, ok }) => ({ name, value, target, ok })),
    observations,
    ci: { passed, failed: figures.length - passed },
  };
}

export function rowOf({ name, value, target, ok }: Figure): string {
  return `${name.padEnd(88)} ${String(value).padStart(10)}   ${target.padEnd(42)} ${ok ? 'met' : 'MISSED'}`;
}

export function lineOf({ name, value, unit }: Observation): string {
  return `  ${name.padEnd(86)} ${String(value).padStart(10)} ${unit}`;
}
