import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { composeMiddleware } from '../../src/http/request/middleware';

const run = async (steps: readonly RequestHandler[]): Promise<unknown> =>
  new Promise((resolve) => {
    composeMiddleware(steps)({} as Request, {} as Response, resolve as NextFunction);
  });

describe('composeMiddleware', () => {
  const later: RequestHandler = (_request, _response, next) => setImmediate(next);
  const never: RequestHandler = () => {
    throw new Error('not to be reached');
  };

  it('runs one step after the other, and then calls next', async () => {
    const order: number[] = [];
    const recording =
      (at: number): RequestHandler =>
      (_request, _response, next) => {
        order.push(at);
        next();
      };
    expect(await run([recording(1), later, recording(2)])).toBeUndefined();
    expect(order).toEqual([1, 2]);
  });

  it('ends with the first step that refuses', async () => {
    const refusal = new Error('refused');
    expect(await run([later, (_request, _response, next) => next(refusal), never])).toBe(refusal);
  });

  it('calls next with the error that a step throws, also asynchronously', async () => {
    expect(await run([later, never])).toEqual(new Error('not to be reached'));
  });
});
