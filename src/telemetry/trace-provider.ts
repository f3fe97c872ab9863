import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { LogEvent } from '../logging/log';
import { TraceExporter } from './trace-exporter';

/** Of one export, its retries included. */
const EXPORT_TIMEOUT_MS = 5_000;
const QUEUE = { maxQueueSize: 2_048, maxExportBatchSize: 512, scheduledDelayMillis: 2_000 };
/** Batches on their way at once; the others wait in the queue, and beyond it spans are dropped. */
const EXPORTS_AT_ONCE = 2;

export interface TraceOptions {
  /** The collector's base address. */
  readonly endpoint: string;
  /** Of the traces that begin here, 0 to 1. */
  readonly share: number;
}

/** Queues spans in bounded memory and exports them in the background. */
export function traceProvider({ endpoint, share }: TraceOptions, log: LogEvent): TracerProvider {
  const exporter = new OTLPTraceExporter({
    url: `${endpoint}/v1/traces`,
    timeoutMillis: EXPORT_TIMEOUT_MS,
    concurrencyLimit: EXPORTS_AT_ONCE,
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
