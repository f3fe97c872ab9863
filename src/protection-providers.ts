import type { Provider } from '@nestjs/common';
import type { Adapters } from './adapters';
import type { MonotonicTime } from './clock/monotonic-time';
import type { ProtectionSettings } from './config/protection-settings';
import { AdmissionGuard } from './http/admission.guard';
import { RequestBodies } from './http/request-bodies';
import { SpentCredentials } from './http/spent-credentials';
import { Admission } from './protection/admission';
import { LocalRequestBudgets } from './protection/local.request-budgets';
import { LoopDelay } from './protection/loop-delay';
import { RequestBudgets } from './protection/request-budgets';

export function createAdmission(
  { maxInFlight, maxLoopDelayMs }: ProtectionSettings,
  observer: ConstructorParameters<typeof Admission>[2],
  time: MonotonicTime,
): Admission {
  const loop = maxLoopDelayMs === undefined ? undefined : new LoopDelay(maxLoopDelayMs, time);
  return new Admission(maxInFlight, loop, observer);
}

/** What bounds the load of requests. */
export function protectionProviders(
  { rates }: ProtectionSettings,
  { budgets, telemetry }: Adapters,
  admission: Admission,
  time: MonotonicTime,
): Provider[] {
  return [
    { provide: RequestBudgets, useValue: budgets ?? new LocalRequestBudgets(rates, time) },
    { provide: Admission, useValue: admission },
    { provide: SpentCredentials, useValue: new SpentCredentials(time, telemetry?.protection) },
    RequestBodies,
    AdmissionGuard,
  ];
}
