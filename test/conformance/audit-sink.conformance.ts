import { type AuditRecord, type AuditSink, AuditSinkFailed } from '../../src/audit/audit-sink';

/** A sink, what it has taken so far, and a way to break it and to mend it. */
export interface AuditSinkUnderTest {
  readonly sink: AuditSink;
  readonly taken: () => readonly Partial<AuditRecord>[];
  readonly fail: () => void | Promise<void>;
  readonly mend: () => void | Promise<void>;
}

export function auditRecord(name: string): AuditRecord {
  return {
    time: '2026-11-27T00:00:00.000Z',
    requestId: name,
    event: 'outcome',
    operation: 'RetrieveSecret',
    name,
  };
}

/** The contract of AuditSink. */
export function describeAuditSink(
  title: string,
  open: () => AuditSinkUnderTest | Promise<AuditSinkUnderTest>,
): void {
  describe(`${title} keeps the contract of AuditSink`, () => {
    const namesIn = ({ taken }: AuditSinkUnderTest) => taken().map(({ name }) => name);

    it('has taken a record when append() resolves, with all its fields', async () => {
      const subject = await open();
      await subject.sink.append(auditRecord('größe "1"\n'));
      expect(subject.taken()).toEqual([expect.objectContaining(auditRecord('größe "1"\n'))]);
      await subject.sink.close();
    });

    it('takes the records of calls at the same time in the order of the calls', async () => {
      const subject = await open();
      const names = Array.from({ length: 1_500 }, (_, at) => `record-${at}`);
      await Promise.all(names.map((name) => subject.sink.append(auditRecord(name))));
      expect(namesIn(subject)).toEqual(names);
      await subject.sink.close();
    });

    it('refuses a record that it cannot take, and takes the next one once it can, without a restart', async () => {
      const subject = await open();
      await subject.sink.append(auditRecord('before'));
      await subject.fail();
      await expect(subject.sink.append(auditRecord('during'))).rejects.toThrow(AuditSinkFailed);
      await subject.mend();
      await subject.sink.append(auditRecord('after'));
      expect(namesIn(subject)).toEqual(['before', 'after']);
      await subject.sink.close();
    });

    it('takes or refuses each of many records at once, and has those that it took and no others', async () => {
      const subject = await open();
      const names = Array.from({ length: 20_000 }, (_, at) => `record-${at}`);
      const settled = await Promise.allSettled(names.map((name) => subject.sink.append(auditRecord(name))));
      expect(namesIn(subject)).toEqual(names.filter((_, at) => settled[at]?.status === 'fulfilled'));
      await subject.sink.append(auditRecord('next'));
      expect(namesIn(subject).at(-1)).toBe('next');
      await subject.sink.close();
    });

    it('holds a bounded number of records while it cannot take any', async () => {
      const subject = await open();
      await subject.sink.append(auditRecord('before'));
      await subject.fail();
      const names = Array.from({ length: 20_000 }, (_, at) => `record-${at}`);
      const settled = names.map((name) =>
        subject.sink.append(auditRecord(name)).then(
          () => true,
          () => false,
        ),
      );
      const soon = new Promise<string>((resolve) => setImmediate(() => setImmediate(resolve, 'waits')));
      const [last] = await Promise.all([Promise.race([settled.at(-1), soon]), soon]);
      expect(last).toBe(false);
      await subject.mend();
      await Promise.all(settled);
      await subject.sink.close();
    });

    it('has taken everything when it is closed', async () => {
      const subject = await open();
      const appended = [subject.sink.append(auditRecord('one')), subject.sink.append(auditRecord('two'))];
      await Promise.all([...appended, subject.sink.close()]);
      expect(namesIn(subject)).toEqual(['one', 'two']);
    });
  });
}
