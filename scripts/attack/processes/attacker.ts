import { setPriority } from 'node:os';
import { ATTACKS, type AttackName } from '../../../test/support/attacks/attacks';
import type { Outcomes, Target } from '../../../test/support/attacks/attack-connection';
import { serve } from '../../bench/processes/handlers';

// A real attacker does not take processor time from the service.
setPriority(10);

const handlers = {
  attack: ({ name, target }: { readonly name: AttackName; readonly target: Target }): Promise<Outcomes> =>
    ATTACKS[name](target),
};

export type Attacker = typeof handlers;

serve(handlers);
