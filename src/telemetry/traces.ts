import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import type { TracerProvider } from '@opentelemetry/sdk-trace';
import { DomainError } from '../errors/domain-error';
import type { EndedRequest, ObservedRequest, RequestObserver } from '../http/request-observer';
import type { LogEvent } from '../logging/log';
import type {
  CallUnderWay,
  InfisicalFigures,
  InfisicalObserver,
  ObservedCall,
} from '../store/infisical/infisical-observer';
import type { Spans } from './spans';
import { traceProvider, type TraceOptions } from './trace-provider';

/** For what is left of the queue at the end. */
const SHUTDOWN_TIMEOUT_MS = 2_000;

/**
 * Traces by OpenTelemetry. The context of a request is kept here and passed on by hand: the library's globals and
 * patches are left alone. Spans are made in memory and exported in the background, so that a collector slows nothing.
 */
export class Traces implements Spans, RequestObserver, InfisicalObserver {
  private readonly context = new AsyncLocalStorage<Context>();
  private readonly propagator = new W3CTraceContextPropagator();
  private readonly provider: TracerProvider;
  private readonly tracer: Tracer;
  private figures: InfisicalFigures | undefined;

  constructor(options: TraceOptions, log: LogEvent) {
    this.provider = traceProvider(options, log);
    this.tracer = this.provider.getTracer('olares-secret-provider');
  }

  requestArrives(headers: IncomingHttpHeaders): ObservedRequest {
    const callers = this.propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const span = this.tracer.startSpan('other', { kind: SpanKind.SERVER }, callers);
    return {
      run: (proceed) => this.context.run(trace.setSpan(callers, span), proceed),
      ended: ({ op, code, reason }: EndedRequest) => {
        span.updateName(op);
        span.setAttributes({ 'osp.op': op, 'http.response.status_code': code });
        if (reason !== undefined) span.setAttribute('osp.reason', reason);
        end(span, code >= 500);
      },
    };
  }

  async during<T>(name: string, work: () => Promise<T>): Promise<T> {
    const begun = this.begin(name, SpanKind.INTERNAL);
    if (begun === undefined) return work();
    try {
      const result = await this.context.run(begun.within, work);
      end(begun.span, false);
      return result;
    } catch (error: unknown) {
      throw failed(begun.span, error);
    }
  }

  around<T>(name: string, work: () => T): T {
    const begun = this.begin(name, SpanKind.INTERNAL);
    if (begun === undefined) return work();
    try {
      const result = this.context.run(begun.within, work);
      end(begun.span, false);
      return result;
    } catch (error: unknown) {
      throw failed(begun.span, error);
    }
  }

  opened(figures: InfisicalFigures): void {
    this.figures = figures;
  }

  callBegins({ method, pathTemplate }: ObservedCall): CallUnderWay {
    const begun = this.begin(`${method} ${pathTemplate}`, SpanKind.CLIENT, {
      'http.request.method': method,
      'url.template': pathTemplate,
      'osp.dialect': this.figures?.dialect() ?? 'unknown',
    });
    if (begun === undefined) return { headers: {}, ended: () => undefined };
    const headers: Record<string, string> = {};
    this.propagator.inject(begun.within, headers, defaultTextMapSetter);
    return {
      headers,
      ended: (outcome, status) => {
        begun.span.setAttribute('osp.outcome', outcome);
        if (status !== undefined) begun.span.setAttribute('http.response.status_code', status);
        end(begun.span, outcome !== 'ok');
      },
    };
  }

  waitedForTurn(): void {}

  turnRefused(): void {}

  /** Sends what is left, for a little while. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, SHUTDOWN_TIMEOUT_MS)));
    await Promise.race([this.provider.shutdown().catch(() => undefined), patience]);
    clearTimeout(timer);
  }

  private begin(name: string, kind: SpanKind, attributes: Attributes = {}) {
    const parent = this.context.getStore();
    if (parent === undefined) return undefined;
    const span = this.tracer.startSpan(name, { kind, attributes }, parent);
    return { span, within: trace.setSpan(parent, span) };
  }
}

function end(span: Span, isFailure: boolean): void {
  if (isFailure) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** An error's own words may name anything; its reason is one of a list. */
function failed(span: Span, error: unknown): unknown {
  const { reason, status } = error instanceof DomainError ? error : { reason: 'INTERNAL', status: 500 };
  span.setAttribute('osp.reason', reason);
  end(span, status >= 500);
  return error;
}
