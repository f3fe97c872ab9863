import type { ServerResponse } from 'node:http';
import type { FakeAnswer } from './fake-answer';

/**
 * A fault of one answer. `after` means that the request was carried out first, so that only its answer is lost, as by a proxy
 * that cuts requests after 30 s.
 */
export type Fault = AnswerFault | { readonly kind: 'delay'; readonly ms: number };

export type AnswerFault =
  | ({ readonly kind: 'answer'; readonly when?: 'before' | 'after' } & FakeAnswer)
  | { readonly kind: Interruption; readonly when: 'before' | 'after' };

/**
 * `reset`: before the first byte of the answer; `resetInBody`: after some bytes; `truncate`: an orderly end in the middle;
 * `dripHeaders`, `dripBody`: one byte every 20 ms, without end.
 */
export type Interruption = 'reset' | 'resetInBody' | 'truncate' | 'hang' | 'dripHeaders' | 'dripBody';

const DRIP_EACH_MS = 20;

export interface PlannedFault {
  readonly method?: string;
  readonly template?: string;
  /** How many requests it applies to; 1 by default. */
  readonly times?: number;
  readonly fault: Fault;
}

/** The planned faults; each applies to the first requests that match it. */
export class FaultPlan {
  #planned: { readonly plan: PlannedFault; left: number }[] = [];

  add(plan: PlannedFault): void {
    this.#planned.push({ plan, left: plan.times ?? 1 });
  }

  clear(): void {
    this.#planned = [];
  }

  take(method: string, template: string | undefined): Fault | undefined {
    const match = this.#planned.find(
      ({ plan, left }) =>
        left > 0 &&
        (plan.method === undefined || plan.method === method) &&
        (plan.template === undefined || plan.template === template),
    );
    if (match === undefined) return undefined;
    match.left -= 1;
    return match.plan.fault;
  }
}

/** Sends an answer with the fault. @param carriedOut the answer that the server would have sent */
export function applyFault(
  fault: AnswerFault,
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
