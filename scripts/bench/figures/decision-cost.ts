import { atMost, observed, type Measured } from '../figure';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { Stage } from '../stage';

const FEW = 10;
const MANY = 100_000;
/** They take milliseconds, so that there may be more of them. */
const MORE_ROUNDS = 3;

/** Measures whether the cost of a decision depends on the number of installed apps. */
export async function decisionCost(stage: Stage, { rounds, decisions }: Size): Promise<Measured> {
  const decisionMaker = stage.decisionMaker();
  const among = (apps: number) => decisionMaker.ask('decide', { apps, decisions });
  await among(FEW);
  await among(MANY);
  const pairs = await alternating(MORE_ROUNDS * rounds, () => among(FEW), () => among(MANY)); // prettier-ignore
  return {
    figures: [
      atMost(
        'decision cost with 100,000 apps / with 10',
        median(pairs.map(({ first, second }) => second / first)),
        1.1,
        2,
      ),
    ],
    observations: [
      observed('one decision among 10 apps', median(pairs.map(({ first }) => first)), 'us'),
      observed('one decision among 100,000 apps', median(pairs.map(({ second }) => second)), 'us'),
    ],
  };
}
