import type { Provider } from '@nestjs/common';
import type { Adapters } from './adapters';
import type { MonotonicTime } from './clock/monotonic-time';
import type { Settings } from './config/settings';
import { BudgetGuard } from './http/budget.guard';
import { Shedding } from './http/shedding';
import { SpentCredentials } from './http/spent-credentials';
import { Admission } from './protection/admission';
import { BodyRoom } from './protection/body-room';
import { LocalRequestBudgets } from './protection/local.request-budgets';
import { LoopDelay } from './protection/loop-delay';
import { RequestBudgets } from './protection/request-budgets';

/** What bounds the load of requests. */
export function protectionProviders(
  { rates, maxInFlight, maxLoopDelayMs }: Settings['protection'],
  { budgets, telemetry }: Adapters,
  time: MonotonicTime,
): Provider[] {
  const observer = telemetry?.protection;
  const delay = maxLoopDelayMs === undefined ? undefined : new LoopDelay(maxLoopDelayMs, time);
  const admission = new Admission(maxInFlight, delay, observer);
  return [
    { provide: RequestBudgets, useValue: budgets ?? new LocalRequestBudgets(rates, time) },
    { provide: Admission, useValue: admission },
    { provide: Shedding, useValue: new Shedding(admission, new BodyRoom(observer)) },
    { provide: SpentCredentials, useValue: new SpentCredentials(time, observer) },
    { provide: LoopDelay, useValue: { onModuleDestroy: () => delay?.close() } },
    BudgetGuard,
  ];
}
