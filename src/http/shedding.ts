import type { NextFunction, Request, Response } from 'express';
import type { Admission } from '../protection/admission';
import type { BodyRoom } from '../protection/body-room';
import { bodyBytesOf } from './json-body';
import { isProbe } from './provider-request';

/** Refuses what there is no room for before its body is read. */
export class Shedding {
  constructor(
    private readonly admission: Admission,
    private readonly bodies: BodyRoom,
  ) {}

  readonly middleware = (request: Request, response: Response, next: NextFunction): void => {
    if (!isProbe(request)) {
      response.once('close', this.admission.enter());
      const bytes = bodyBytesOf(request);
      if (bytes > 0) response.once('close', this.bodies.enter(request.socket.remoteAddress ?? '', bytes));
    }
    next();
  };
}
