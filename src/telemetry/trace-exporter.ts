import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { LogEvent } from '../logging/log';

/** A collector that is away for a night is no million lines. */
const SAY_AGAIN_MS = 300_000;

/** Says that spans are lost, which the library keeps to itself; of why it says nothing, since the answer is the collector's. */
export class TraceExporter implements SpanExporter {
  private lost = 0;
  private saidAtMs = -Infinity;

  constructor(
    private readonly inner: SpanExporter,
    private readonly log: LogEvent,
  ) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.inner.export(spans, (result) => {
      if (result.code !== ExportResultCode.SUCCESS) this.say(spans.length);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.inner.shutdown();
  }

  private say(spans: number): void {
    this.lost += spans;
    const nowMs = performance.now();
    if (nowMs - this.saidAtMs < SAY_AGAIN_MS) return;
    this.saidAtMs = nowMs;
    this.log('warn', 'traces_not_exported', { spans: this.lost });
    this.lost = 0;
  }
}
