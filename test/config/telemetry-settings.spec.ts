import { InvalidSettings, loadSettings } from '../../src/config/settings';

const GOOD = {
  GRANTS_DIR: '/apps',
  MASTER_KEY: 'm'.repeat(32),
  USER_TOKEN_SECRET: 'u'.repeat(64),
  ACCESS_TOKEN_KEY: 'a'.repeat(32),
};

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadSettings(env);
    return [];
  } catch (error: unknown) {
    if (error instanceof InvalidSettings) return error.problems;
    throw error;
  }
}

describe('the settings of telemetry', () => {
  it('switch telemetry on by an address each, and keep it off otherwise', () => {
    const { metrics, traces } = loadSettings(GOOD);
    expect([metrics, traces]).toEqual([undefined, undefined]);
    const on = { METRICS_PORT: '0', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };
    expect(loadSettings({ ...GOOD, ...on, HOST: '0.0.0.0' })).toMatchObject({
      metrics: { host: '0.0.0.0', port: 0 },
      traces: { endpoint: 'http://collector:4318', share: 1 },
    });
    const whole = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/v1/traces/' };
    expect(loadSettings({ ...GOOD, ...whole }).traces).toEqual({
      endpoint: 'http://collector:4318',
      share: 1,
    });
    const more = { METRICS_HOST: '127.0.0.1', METRICS_PORT: '9090', OTEL_TRACES_SAMPLER_ARG: '0.25' };
    expect(loadSettings({ ...GOOD, ...on, ...more })).toMatchObject({
      metrics: { host: '127.0.0.1', port: 9090 },
      traces: { share: 0.25 },
    });
    const wrong = {
      METRICS_PORT: '8080',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'canary',
      OTEL_TRACES_SAMPLER_ARG: '2',
    };
    expect(problemsOf({ ...GOOD, ...wrong })).toEqual([
      'OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL without credentials, query or fragment',
      'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1',
      'METRICS_PORT must be another port than PORT',
    ]);
  });
});
