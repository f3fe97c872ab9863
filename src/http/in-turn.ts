import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** Several steps as one: each that Express and Nest are given by itself matches the path anew. */
export function inTurn(steps: readonly RequestHandler[]): RequestHandler {
  return (request: Request, response: Response, next: NextFunction): void => {
    const go = (at: number): void => {
      const step = steps[at];
      if (step === undefined) {
        next();
        return;
      }
      try {
        void step(request, response, (error?: unknown) => (error === undefined ? go(at + 1) : next(error)));
      } catch (error: unknown) {
        // A step may come after the body was read, where nobody else would catch it.
        next(error);
      }
    };
    go(0);
  };
}
