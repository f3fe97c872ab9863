import type { EnvironmentReader } from './environment-reader';

/** The settings of metrics and traces; an absent part is off, and its libraries are not loaded. */
export interface TelemetrySettings {
  readonly metrics?: { readonly host: string; readonly port: number };
  readonly traces?: {
    /** The collector's base address, without `/v1/traces`. */
    readonly endpoint: string;
    /** The share of the traces that begin here which is sampled, 0 to 1; a caller's own trace follows the caller's decision. */
    readonly share: number;
  };
}

export function telemetrySettings(read: EnvironmentReader, main: MainAddress): TelemetrySettings {
  const endpoint = read.url('OTEL_EXPORTER_OTLP_ENDPOINT')?.replace(/\/v1\/traces$/, '');
  const share = shareIn(read);
  const metrics = read.text('METRICS_PORT') === undefined ? undefined : metricsAddress(read, main);
  return {
    ...(metrics !== undefined && { metrics }),
    ...(endpoint !== undefined && { traces: { endpoint, share } }),
  };
}

interface MainAddress {
  readonly host: string;
  readonly port: number;
}

function metricsAddress(read: EnvironmentReader, main: MainAddress): MainAddress {
  const host = read.text('METRICS_HOST') ?? main.host;
  const port = read.integer('METRICS_PORT', 0, 65_535);
  if (port !== 0 && port === main.port) read.problem('METRICS_PORT', 'must be another port than PORT');
  return { host, port };
}

function shareIn(read: EnvironmentReader): number {
  const text = read.text('OTEL_TRACES_SAMPLER_ARG') ?? '';
  const share = /^(0|1|0?\.\d{1,9}|[01]\.0*)$/.test(text) ? Number(text) : NaN;
  if (share >= 0 && share <= 1) return share;
  read.problem('OTEL_TRACES_SAMPLER_ARG', 'must be a number from 0 to 1');
  return 0;
}
