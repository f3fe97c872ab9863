import { Runtime } from '../../src/bootstrap/runtime.module';
import { Metrics } from '../../src/telemetry/metrics';
import { CanaryService } from './canary-service';

const one = new CanaryService();
const { title } = process;
beforeAll(() => one.start());
afterAll(async () => {
  process.title = title;
  jest.restoreAllMocks();
  await one.close();
});

/** Puts a text out in one way. */
const OUTPUTS: Readonly<Record<string, (text: string) => unknown>> = {
  log: (text) => one.service.app.get(Runtime).log('info', 'planted', { text }),
  audit: (text) => one.audit.append({ time: text, requestId: '', event: 'outcome', operation: '' }),
  metrics: (text) =>
    jest.spyOn(Metrics.prototype, 'exposition').mockResolvedValue(`osp_up{text="${text}"} 1`),
  traces: (text) => fetch(`${one.collector.url}/v1/traces`, { method: 'POST', body: `{"value":"${text}"}` }),
  answers: (text) => one.received(`{"message":"${text}"}`),
  printed: (text) => process.stderr.write(`${text}\n`),
  title: (text) => (process.title = text),
};

/** Writes a secret down in one form. */
const FORMS: Readonly<Record<string, (secret: string) => string>> = {
  'as it is': (secret) => secret,
  'as a fragment of 12 characters': (secret) => secret.slice(5, 17),
  'in base64, behind other bytes': (secret) => Buffer.from(`user:${secret}`).toString('base64'),
  'in base64url': (secret) => Buffer.from(`.${secret}.`).toString('base64url'),
  'URL-encoded': (secret) => Buffer.from(secret).toString('hex').replace(/../g, '%$&'),
  'JSON-escaped': (secret) => secret.replace(/[^]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`),
  'in hex': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
};

describe('a secret is found', () => {
  const cases = Object.keys(OUTPUTS).flatMap((output) => Object.keys(FORMS).map((form) => [output, form] as const)); // prettier-ignore

  it.each(cases)('in the %s, %s', async (output, form) => {
    const what = `planted in ${output} ${form}`;
    const secret = one.canaries.make(what);
    expect((await one.leaks()).filter((leak) => leak.includes(what))).toEqual([]);
    await OUTPUTS[output]?.(FORMS[form]?.(secret) ?? '');
    expect((await one.leaks()).join()).toContain(`${output}: ${what}`);
  });

  it('nowhere where eleven of its characters are shown', async () => {
    const secret = one.canaries.make('barely');
    one.received(secret.slice(3, 14));
    expect((await one.leaks()).join()).not.toContain('barely');
  });
});
