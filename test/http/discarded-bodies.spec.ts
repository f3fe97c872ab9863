import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { discardBody } from '../../src/http/server/request-bodies';

describe('the discarded body of a refused request', () => {
  /** Of one address, with as much of a body as is discarded before it waits. */
  const arrive = (
    complete: boolean,
  ): { readonly ended: Promise<void>; readonly destroyed: () => boolean } => {
    let isDestroyed = false;
    const request = new Readable({ read: () => undefined });
    Object.assign(request, {
      complete,
      socket: { remoteAddress: '10.0.0.1', destroy: () => (isDestroyed = true) },
    });
    request.push(Buffer.alloc(64 * 1024));
    if (complete) request.push(null);
    return { ended: discardBody(request as unknown as IncomingMessage), destroyed: () => isDestroyed };
  };

  it('is cut off where too many of its address wait, unless all of it has come', async () => {
    const unfinished = Array.from({ length: 30 }, () => arrive(false));
    const whole = arrive(true);
    await whole.ended;
    await new Promise(setImmediate);
    expect(unfinished.filter(({ destroyed }) => destroyed()).length).toBeGreaterThan(5);
    expect(whole.destroyed()).toBe(false);
  });
});
