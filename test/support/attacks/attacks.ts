import * as answers from './answer-attacks';
import type { Outcomes, Target } from './attack-connection';
import * as bodies from './body-attacks';
import * as connections from './connection-attacks';
import * as heads from './head-attacks';
import * as storage from './storage-attacks';
import * as manifests from './manifest-attacks';

/** The attacks by name, by which another process is told which to run. */
export const ATTACKS = {
  ...bodies,
  ...connections,
  ...answers,
  ...heads,
  ...storage,
  ...manifests,
} satisfies Record<string, (target: Target) => Promise<Outcomes>>;

export type AttackName = keyof typeof ATTACKS;
