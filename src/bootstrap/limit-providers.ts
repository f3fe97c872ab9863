import type { Provider } from '@nestjs/common';
import type { Adapters } from './adapters';
import type { MonotonicTime } from '../time/clock';
import type { ProtectionSettings } from '../config/limit-settings';
import { AdmissionGuard } from '../http/guards/admission.guard';
import { RequestBodies } from '../http/server/request-bodies';
import { SpentCredentials } from '../http/guards/throttled-credentials';
import { Admission, LoopDelay } from '../limits/admission';
import { LocalRequestBudgets } from '../limits/local.rate-limits';
import { type ProtectionObserver, RequestBudgets } from '../limits/rate-limits';

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
