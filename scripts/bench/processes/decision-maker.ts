import { SECRET_OPERATIONS } from '../../../src/authz/grant';
import { GrantsService } from '../../../src/authz/grants.service';
import type { Caller } from '../../../src/authn/caller';
import { FixedGrantSource } from '../../../test/support/fixed-grant-source';
import { serve } from './handlers';

const APPS_OF_A_USER = 50;

/** Every so many apps from each other, so that the same ones exist in every cluster. */
const ASKING = 10;

const known = new Map<number, GrantsService>();

/** The decisions themselves, with that many apps installed and the same ten asking: microseconds for one. */
function decide({ apps, decisions }: { readonly apps: number; readonly decisions: number }): number {
  const service =
    known.get(apps) ??
    new GrantsService(new FixedGrantSource(Array.from({ length: apps }, (_, at) => app(at))));
  known.set(apps, service);
  const callers = Array.from({ length: ASKING }, (_, at): Caller => ({ ...app(at), operations: 'any' }));
  const startMs = performance.now();
  for (let turn = 0; turn < decisions; turn++) {
    const caller = callers[turn % ASKING];
    if (caller !== undefined) service.authorize(caller, 'RetrieveSecret', `${caller.app}-desk`);
  }
  return ((performance.now() - startMs) * 1000) / decisions;
}

function app(at: number) {
  const name = `app${at % APPS_OF_A_USER}`;
  return {
    app: name,
    user: `user${Math.floor(at / APPS_OF_A_USER)}`,
    appKey: `bytetrade_${name}_${at}`,
    appSecret: String(at).padStart(16, '0'),
    ops: SECRET_OPERATIONS.map((operation) => `${operation}?workspace=${name}-desk`),
  };
}

const handlers = { decide };
export type DecisionMaker = typeof handlers;

serve(handlers);
