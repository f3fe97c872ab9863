/** Settings that the chart gives already and the service is about to read; each moves to src/config/setting-definitions.ts. */
export const PLANNED_SETTINGS = [
  'METRICS_PORT',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_TRACES_SAMPLER_ARG',
  'REDIS_URL',
  'REDIS_URL_FILE',
];
