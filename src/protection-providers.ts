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
import type { ProtectionObserver } from './protection/protection-observer';
import { RequestBudgets } from './protection/request-budgets';

/** What bounds the load of requests, for the server and the module. */
export interface Protection {
  readonly admission: Admission;
  readonly budgets: RequestBudgets;
  readonly observer: ProtectionObserver | undefined;
}

export function createProtection(
  { rates, maxInFlight, maxLoopDelayMs }: ProtectionSettings,
  { budgets, telemetry }: Adapters,
  time: MonotonicTime,
): Protection {
  const observer = telemetry?.protection;
  const loop = maxLoopDelayMs === undefined ? undefined : new LoopDelay(maxLoopDelayMs, time);
  return {
    admission: new Admission(maxInFlight, loop, observer),
    budgets: budgets ?? new LocalRequestBudgets(rates, time),
    observer,
  };
}

export function protectionProviders(
  { admission, budgets, observer }: Protection,
  time: MonotonicTime,
): Provider[] {
  return [
    { provide: RequestBudgets, useValue: budgets },
    { provide: Admission, useValue: admission },
    { provide: SpentCredentials, useValue: new SpentCredentials(time, observer) },
    RequestBodies,
    AdmissionGuard,
  ];
}
