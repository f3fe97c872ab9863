import fc from '../support/fast-check';
import { createLog } from '../../src/logging/log';
import { prettyLog } from '../../src/logging/pretty-log';

/** What a terminal is told by other characters than those of text; the end of a line apart. */
const CONTROLS = /(?!\n)[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const COLOR = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');

function logged(colorize = false) {
  let text = '';
  const log = createLog('info', prettyLog({ write: (line) => (text += line) }, colorize));
  return { log, text: () => text };
}

describe('prettyLog', () => {
  it('writes a line for each event with time, level, event and fields', () => {
    const { log, text } = logged();
    log.info({ app: 'notes', count: 2, quota: undefined }, 'grants_read');
    log.warn('redis_lost');
    expect(text()).toMatch(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: grants_read \{"app":"notes","count":2\}\n\[[\d:.]+\] WARN: redis_lost\n$/,
    );
  });

  it('makes the text of the event framework_message of a sentence, as Nest logs them', () => {
    const { log, text } = logged();
    log.info({ context: 'NestFactory' }, 'Starting Nest application...');
    log.warn('Something is deprecated.');
    expect(text()).toMatch(
      /INFO: framework_message \{"context":"NestFactory","text":"Starting Nest application\.\.\."\}\n.*WARN: framework_message \{"text":"Something is deprecated\."\}\n$/,
    );
  });

  it('uses colours only where they are asked for', () => {
    const [plain, colored] = [logged(), logged(true)];
    for (const { log } of [plain, colored]) log.error({ reason: 'x' }, 'failed');
    expect(plain.text()).not.toContain('\u001b');
    const timeOff = (text: string): string => text.slice('[00:00:00.000] '.length);
    expect(timeOff(colored.text().replace(COLOR, ''))).toBe(timeOff(plain.text()));
    expect(colored.text()).toContain('\u001b[31mERROR\u001b[39m');
  });

  it('omits what the JSON log omits: requests, responses, and all of an error but its class', () => {
    const { log, text } = logged();
    const error = Object.assign(new TypeError('canary-message'), { config: 'canary-config' });
    log.error(
      { req: { headers: 'canary-header' }, res: { body: 'canary-body' }, err: error, error },
      'failed',
    );
    log.error(error);
    log.error({ err: error });
    expect(text()).not.toContain('canary');
    expect(text().match(/ERROR: error \{"err":"TypeError"\}$/gm)).toHaveLength(2);
    expect(text().split('\n')[0]).toMatch(/ERROR: failed \{"err":"TypeError","error":"TypeError"\}$/);
  });

  it('shows a control character as its escape, wherever a caller may have put it', () => {
    const { log, text } = logged();
    log.info({ path: '/\u001b[2J\r\n\u009b1m\u202e"\\', name: 'a\u001bb' }, 'seen\n[12:00:00] ERROR: forged');
    expect(text().trimEnd()).not.toMatch(CONTROLS);
    expect(text().split('\n')).toHaveLength(2);
    expect(text()).toContain(String.raw`/\u001b[2J\r\n\u009b1m\u202e\"\"`.replace(/"$/, ''));
    expect(text()).toContain(String.raw`seen\n[12:00:00] ERROR: forged`);
  });

  it('writes one line of text for any event', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.dictionary(fc.string({ unit: 'binary' }), fc.json()),
        (event, fields) => {
          const { log, text } = logged();
          log.info(fields, event);
          expect(text().slice(0, -1)).not.toMatch(CONTROLS);
          expect(text().indexOf('\n')).toBe(text().length - 1);
        },
      ),
    );
  });
});
