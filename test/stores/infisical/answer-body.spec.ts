import { Readable } from 'node:stream';
import { CallTime } from '../../../src/stores/infisical/transport/call-time';
import { AnswerBodies, AnswerTooLarge } from '../../../src/stores/infisical/transport/answer-body';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

const MEBIBYTE = 1_048_576;
const CAP = 8 * MEBIBYTE;
const time = new FixedMonotonicTime();
const callOf = (ms: number) => new CallTime(ms, ms, time);
const never = callOf(60_000);

const [BEGIN, END] = ['{"text":"', '"}'];
const lengthOf = async (answer: Promise<unknown>): Promise<number> =>
  ((await answer) as { readonly text: string }).text.length;

/** A body with so many bytes of text, in an object, that counts how much of it was asked for. */
function body(bytes: number, { chunk = 65_536, announced = false } = {}) {
  let sent = 0;
  const data = new Readable({
    highWaterMark: 1,
    read() {
      if (sent === 0) this.push(BEGIN);
      const next = Math.min(chunk, bytes - sent);
      sent += next;
      if (next > 0) this.push('x'.repeat(next));
      else {
        this.push(END);
        this.push(null);
      }
    },
  });
  const headers = announced ? { 'content-length': `${BEGIN.length + bytes + END.length}` } : {};
  return { data, headers, sent: () => sent };
}

const settled = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('the bodies of answers', () => {
  it('are parsed; what is no JSON is undefined', async () => {
    const bodies = new AnswerBodies();
    expect(await bodies.read({ data: Readable.from([Buffer.from('{"a":'), Buffer.from('"é"}')]), headers: {} }, CAP, never)).toEqual({ a: 'é' }); // prettier-ignore
    expect(await bodies.read({ data: Readable.from([Buffer.from('<html>')]), headers: {} }, CAP, never)).toBeUndefined(); // prettier-ignore
    expect(await bodies.read({ data: Readable.from([]), headers: {} }, CAP, never)).toBeUndefined();
  });

  it.each([true, false])(
    'above the cap are refused, and received no further (announced: %s)',
    async (announced) => {
      const large = body(20 * MEBIBYTE, { announced });
      await expect(new AnswerBodies().read(large, CAP, never)).rejects.toThrow(AnswerTooLarge);
      await settled();
      expect(large.sent()).toBeLessThan(announced ? MEBIBYTE : CAP + MEBIBYTE);
      expect(large.data.destroyed).toBe(true);
    },
  );

  it('are taken in one after the other when they are large: the others stay with the server meanwhile', async () => {
    const bodies = new AnswerBodies();
    const held = new Readable({ read: () => undefined });
    held.push(`${BEGIN}${'x'.repeat(MEBIBYTE)}`);
    const first = bodies.read({ data: held, headers: {} }, CAP, never);
    await settled();
    const others = Array.from({ length: 10 }, () => body(7 * MEBIBYTE));
    const taken = others.map((other) => bodies.read(other, CAP, callOf(60_000)));
    const small = body(400_000);
    expect(await lengthOf(bodies.read(small, CAP, never))).toBe(400_000);
    await settled();
    for (const other of others) expect(other.sent()).toBeLessThan(MEBIBYTE);
    held.push(END);
    held.push(null);
    expect(await lengthOf(first)).toBe(MEBIBYTE);
    for (const one of taken) expect(await lengthOf(one)).toBe(7 * MEBIBYTE);
  });

  it('end with the time of their call, also while they wait, and leave their place to the next', async () => {
    const bodies = new AnswerBodies();
    const held = new Readable({ read: () => undefined });
    held.push(`${BEGIN}${'x'.repeat(MEBIBYTE)}`);
    const first = bodies.read({ data: held, headers: {} }, CAP, callOf(200));
    await settled();
    const second = body(2 * MEBIBYTE);
    const late = bodies.read(second, CAP, callOf(50));
    await settled();
    time.advance(50);
    await expect(late).rejects.toThrow();
    expect([second.data.destroyed, held.destroyed]).toEqual([true, false]);
    time.advance(150);
    await expect(first).rejects.toThrow();
    expect(await lengthOf(bodies.read(body(2 * MEBIBYTE), CAP, never))).toBe(2 * MEBIBYTE);
  });

  it('are not late by what we let them wait for', async () => {
    const bodies = new AnswerBodies();
    const held = new Readable({ read: () => undefined });
    held.push(`${BEGIN}${'x'.repeat(MEBIBYTE)}`);
    const first = bodies.read({ data: held, headers: {} }, CAP, never);
    await settled();
    const call = new CallTime(100, 60_000, time);
    const second = bodies.read(body(2 * MEBIBYTE), CAP, call);
    await settled();
    time.advance(200);
    held.push(END);
    held.push(null);
    await first;
    expect(await lengthOf(second)).toBe(2 * MEBIBYTE);
  });

  it('that fail midway fail, and leave their place to the next', async () => {
    const bodies = new AnswerBodies();
    const broken = new Readable({ read: () => undefined });
    broken.push('x'.repeat(MEBIBYTE));
    const failing = bodies.read({ data: broken, headers: {} }, CAP, never);
    await settled();
    broken.destroy(new Error('reset'));
    await expect(failing).rejects.toThrow('reset');
    expect(await lengthOf(bodies.read(body(2 * MEBIBYTE), CAP, never))).toBe(2 * MEBIBYTE);
  });

  it('of single bytes take no more memory than any other', async () => {
    const bytes = 300_000;
    const data = Readable.from((function* () { yield Buffer.from(BEGIN); for (let i = 0; i < bytes; i++) yield Buffer.from('x'); yield Buffer.from(END); })()); // prettier-ignore
    expect(await lengthOf(new AnswerBodies().read({ data, headers: {} }, CAP, never))).toBe(bytes);
  });
});

it('the time of a call tells how much the server had, without that for which we made it wait', async () => {
  const clock = new FixedMonotonicTime();
  const time = new CallTime(8_000, 10_000, clock);
  clock.advance(1_000);
  let go: () => void = () => undefined;
  const waiting = time.paused(new Promise<void>((resolve) => (go = resolve)));
  clock.advance(9_000);
  expect(time.signal.aborted).toBe(true);
  go();
  await waiting;
  expect(time.usedMs).toBe(1_000);
  time.end();
});
