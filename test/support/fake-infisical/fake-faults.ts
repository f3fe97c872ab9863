import type { ServerResponse } from 'node:http';
import type { FakeAnswer } from './fake-answer';

/**
 * What goes wrong. `after` means that the request was carried out first, so that only its answer is lost:
 * this is what a server does that is cut at 30 s.
 */
export type Fault = LostAnswer | { readonly kind: 'delay'; readonly ms: number };

export type LostAnswer =
  | ({ readonly kind: 'answer'; readonly when?: 'before' | 'after' } & FakeAnswer)
  | { readonly kind: Interruption; readonly when: 'before' | 'after' };

/**
 * `reset`: before a byte of the answer; `resetInBody`: after some of them; `truncate`: an orderly end in the middle;
 * `dripHeaders`, `dripBody`: a byte now and then, without end.
 */
export type Interruption = 'reset' | 'resetInBody' | 'truncate' | 'hang' | 'dripHeaders' | 'dripBody';

const DRIP_EACH_MS = 20;

export interface PlannedFault {
  readonly method?: string;
  readonly template?: string;
  /** How many requests it hits; 1 unless told. */
  readonly times?: number;
  readonly fault: Fault;
}

/** The faults to come, each for the first requests that it fits. */
export class FaultPlan {
  #planned: { readonly plan: PlannedFault; left: number }[] = [];

  add(plan: PlannedFault): void {
    this.#planned.push({ plan, left: plan.times ?? 1 });
  }

  clear(): void {
    this.#planned = [];
  }

  take(method: string, template: string | undefined): Fault | undefined {
    const hit = this.#planned.find(
      ({ plan, left }) =>
        left > 0 &&
        (plan.method === undefined || plan.method === method) &&
        (plan.template === undefined || plan.template === template),
    );
    if (hit === undefined) return undefined;
    hit.left -= 1;
    return hit.plan.fault;
  }
}

/** Does to an answer what the fault says; `carriedOut` is what the server would have sent. */
export function strike(
  fault: LostAnswer,
  carriedOut: FakeAnswer | undefined,
  response: ServerResponse,
): void {
  const start = JSON.stringify(carriedOut?.body ?? {}).slice(0, 20);
  const announce = () =>
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write(start);
  switch (fault.kind) {
    case 'answer':
      return sendAnswer(response, fault);
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    case 'resetInBody':
      announce();
      setTimeout(() => response.socket?.resetAndDestroy(), 5);
      return;
    case 'truncate':
      announce();
      setTimeout(() => response.socket?.destroy(), 5);
      return;
    case 'hang':
      return;
    case 'dripHeaders':
      response.socket?.write('HTTP/1.1 200 OK\r\nx-slow: ');
      return drip(response, () => response.socket?.write('x'));
    case 'dripBody':
      response.writeHead(200, { 'content-type': 'application/json' }).write(start);
      return drip(response, () => response.write(' '));
  }
}

export function sendAnswer(response: ServerResponse, answer: FakeAnswer): void {
  const text = answer.raw ?? JSON.stringify(answer.body);
  response.writeHead(answer.status, { 'content-type': 'application/json; charset=utf-8', ...answer.headers });
  response.end(text);
}

function drip(response: ServerResponse, drop: () => void): void {
  const timer = setInterval(drop, DRIP_EACH_MS);
  response.once('close', () => clearInterval(timer));
}
