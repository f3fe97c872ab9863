import type { NextFunction, Request, Response } from 'express';
import { ShuttingDown } from '../../errors/request-errors';
import { isProbe, type ProviderRequest } from '../request/provider-request';

/** Counts the requests in flight; once draining, refuses new ones and resolves when the last has ended. */
export class Drain {
  private inFlight = 0;
  private begun = false;
  private emptied: () => void = () => undefined;

  get draining(): boolean {
    return this.begun;
  }

  /** Resolves with true when no request is in flight any more, with false when `timeoutMs` have passed before. */
  async begin(timeoutMs: number): Promise<boolean> {
    this.begun = true;
    if (this.inFlight === 0) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.emptied = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  readonly middleware = (request: Request, _response: Response, next: NextFunction): void => {
    if (isProbe(request)) {
      next();
      return;
    }
    if (this.begun) {
      next(new ShuttingDown());
      return;
    }
    this.inFlight += 1;
    (request as ProviderRequest).cleanup.add(() => {
      this.inFlight -= 1;
      if (this.inFlight === 0) this.emptied();
    });
    next();
  };
}
