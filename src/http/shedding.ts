import type { NextFunction, Request, Response } from 'express';
import type { Admission } from '../protection/admission';
import { isProbe } from './provider-request';

/** Refuses what there is no room for before its body is read. */
export class Shedding {
  constructor(private readonly admission: Admission) {}

  readonly middleware = (request: Request, response: Response, next: NextFunction): void => {
    if (!isProbe(request)) response.once('close', this.admission.enter());
    next();
  };
}
