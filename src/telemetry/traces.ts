import { waitFor } from '../time/clock';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import { ExportResultCode, type ExportResult, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  type ReadableSpan,
  type SpanExporter,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
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
import type { LogEvent } from '../logging/log';
import { DomainError } from '../errors/domain-error';
import type { EndedRequest, ObservedRequest, RequestObserver } from '../http/request/begin-request';
import type {
  CallUnderWay,
  InfisicalFigures,
  InfisicalObserver,
  ObservedCall,
} from '../stores/infisical/versions/calls';
import type { Spans } from './traced';

/** For the spans that are left in the queue. */
const SHUTDOWN_TIMEOUT_MS = 2_000;

interface TraceOptions {
  /** The collector's base address. */
  readonly endpoint: string;
  /** The share of recorded traces among those that begin here, 0 to 1. */
  readonly share: number;
}

/** The metrics, which are told of all that the traces are told of. They only count: their requests run as they are, and their calls add no headers. */
interface Counting {
  readonly requests?: RequestObserver | undefined;
  readonly infisical?: InfisicalObserver | undefined;
}

/**
 * Traces by OpenTelemetry, without the library's globals and patches: the context of a request is stored here. Spans are
 * made in memory and exported in the background, so that a slow collector delays no request.
 */
export class Traces implements Spans, RequestObserver, InfisicalObserver {
  private readonly context = new AsyncLocalStorage<Context>();
  private readonly propagator = new W3CTraceContextPropagator();
  private readonly provider: TracerProvider;
  private readonly tracer: Tracer;
  private figures: InfisicalFigures | undefined;

  constructor(
    options: TraceOptions,
    log: LogEvent,
    private readonly metrics: Counting = {},
  ) {
    this.provider = traceProvider(options, log);
    this.tracer = this.provider.getTracer('olares-secret-provider');
  }

  requestArrives(headers: IncomingHttpHeaders): ObservedRequest {
    const parent = this.propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const span = this.tracer.startSpan('other', { kind: SpanKind.SERVER }, parent);
    const counted = this.metrics.requests?.requestArrives(headers);
    return {
      run: (proceed) => this.context.run(trace.setSpan(parent, span), proceed),
      ended: (how: EndedRequest) => {
        const { op, code, reason } = how;
        counted?.ended(how);
        span.updateName(op);
        span.setAttributes({ 'osp.op': op, 'http.response.status_code': code });
        if (reason !== undefined) span.setAttribute('osp.reason', reason);
        end(span, code >= 500);
      },
    };
  }

  during<T>(name: string, work: () => T): T {
    const begun = this.begin(name, SpanKind.INTERNAL);
    if (begun === undefined) return work();
    const { span, within } = begun;
    let result: T;
    try {
      result = this.context.run(within, work);
    } catch (error: unknown) {
      fail(span, error);
      throw error;
    }
    if (result instanceof Promise)
      result.then(
        () => end(span, false),
        (error: unknown) => fail(span, error),
      );
    else end(span, false);
    return result;
  }

  opened(figures: InfisicalFigures): void {
    this.figures = figures;
    this.metrics.infisical?.opened(figures);
  }

  callBegins(call: ObservedCall): CallUnderWay {
    const { method, pathTemplate } = call;
    const counted = this.metrics.infisical?.callBegins(call);
    const begun = this.begin(`${method} ${pathTemplate}`, SpanKind.CLIENT, {
      'http.request.method': method,
      'url.template': pathTemplate,
      'osp.api_version': this.figures?.apiVersion() ?? 'unknown',
    });
    if (begun === undefined) return counted ?? { headers: {}, ended: () => undefined };
    const headers: Record<string, string> = {};
    this.propagator.inject(begun.within, headers, defaultTextMapSetter);
    return {
      headers,
      ended: (outcome, status) => {
        counted?.ended(outcome, status);
        begun.span.setAttribute('osp.outcome', outcome);
        if (status !== undefined) begun.span.setAttribute('http.response.status_code', status);
        end(begun.span, outcome !== 'ok');
      },
    };
  }

  waitedForPermit(waitedMs: number): void {
    this.metrics.infisical?.waitedForPermit(waitedMs);
  }

  permitRefused(): void {
    this.metrics.infisical?.permitRefused();
  }

  /** Exports the remaining spans, within the time-out. */
  async close(): Promise<void> {
    await waitFor(this.provider.shutdown(), { maxMs: SHUTDOWN_TIMEOUT_MS }).catch(() => undefined);
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

/** Ends a span with the reason of an error, which is one of a list, and without its message, which may name anything. */
function fail(span: Span, error: unknown): void {
  const { reason, status } = error instanceof DomainError ? error : { reason: 'INTERNAL', status: 500 };
  span.setAttribute('osp.reason', reason);
  end(span, status >= 500);
}

/** For one export, including its retries. */
const EXPORT_TIMEOUT_MS = 5_000;
const QUEUE = { maxQueueSize: 2_048, maxExportBatchSize: 512, scheduledDelayMillis: 2_000 };
/** Other batches wait in the queue; when that is full, spans are dropped. */
const MAX_CONCURRENT_EXPORTS = 2;

/** Queues spans in bounded memory and exports them in the background. */
function traceProvider({ endpoint, share }: TraceOptions, log: LogEvent): TracerProvider {
  const exporter = new OTLPTraceExporter({
    url: `${endpoint}/v1/traces`,
    timeoutMillis: EXPORT_TIMEOUT_MS,
    concurrencyLimit: MAX_CONCURRENT_EXPORTS,
  });
  return new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'olares-secret-provider' }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    spanProcessors: [
      new BatchSpanProcessor({
        ...QUEUE,
        exporter: new TraceExporter(exporter, log),
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
}

/** A collector that is away for a night must not cause a million log lines. */
const LOG_AGAIN_MS = 300_000;

/** Logs that spans are lost, which the library does not. It does not log why, since the answer is the collector's. */
class TraceExporter implements SpanExporter {
  private lost = 0;
  private loggedAtMs = -Infinity;

  constructor(
    private readonly inner: SpanExporter,
    private readonly log: LogEvent,
  ) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.inner.export(spans, (result) => {
      if (result.code !== ExportResultCode.SUCCESS) this.logLost(spans.length);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.inner.shutdown();
  }

  private logLost(spans: number): void {
    this.lost += spans;
    const nowMs = performance.now();
    if (nowMs - this.loggedAtMs < LOG_AGAIN_MS) return;
    this.loggedAtMs = nowMs;
    this.log('warn', 'traces_not_exported', { spans: this.lost });
    this.lost = 0;
  }
}
