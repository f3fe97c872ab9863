import type { Provider } from '@nestjs/common';
import type { Adapters } from './open-adapters';
import type { MonotonicTime } from '../time/clock';
import type { LimitSettings } from '../config/limit-settings';
import { AdmissionGuard } from '../http/guards/admission.guard';
import { RequestBodies } from '../http/server/request-bodies';
import { ThrottledCredentials } from '../http/guards/early-refusals';
import { Admission, LoopDelay } from '../limits/admission';
import { LocalRateLimits } from '../limits/rate-limits';
import { type LimitsObserver, RateLimits } from '../limits/rate-limits';

/** The objects that bound the load of requests, which the server and the module share. */
export interface Limits {
  readonly admission: Admission;
  readonly rateLimits: RateLimits;
  readonly observer: LimitsObserver | undefined;
}

export function createLimits(
  { rates, maxInFlight, maxLoopDelayMs }: LimitSettings,
  { rateLimits, telemetry }: Adapters,
  time: MonotonicTime,
): Limits {
  const observer = telemetry?.limits;
  const loop = maxLoopDelayMs === undefined ? undefined : new LoopDelay(maxLoopDelayMs, time);
  return {
    admission: new Admission(maxInFlight, loop, observer),
    rateLimits: rateLimits ?? new LocalRateLimits(rates, time),
    observer,
  };
}

export function limitProviders({ admission, rateLimits, observer }: Limits, time: MonotonicTime): Provider[] {
  return [
    { provide: RateLimits, useValue: rateLimits },
    { provide: Admission, useValue: admission },
    { provide: ThrottledCredentials, useValue: new ThrottledCredentials(time, observer) },
    RequestBodies,
    AdmissionGuard,
  ];
}
