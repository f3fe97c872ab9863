import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { infisicalConnection } from '../../../src/stores/infisical/infisical.module';
import { WatchedFiles } from '../../../src/reloadable/reloadable';
import { StoreUnavailable } from '../../../src/errors/store-errors';
import { TestAuthority } from '../../support/certificates';
import { FixedClock } from '../../support/fixed-clock';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { TlsFront } from '../../support/tls-front';
import { at, openStore, ROUTES, rowsOf } from './opened-store';

const authority = new TestAuthority();
const stranger = new TestAuthority('stranger');
const good = authority.certificateFor('localhost');

describe('an Infisical behind a certificate of an own authority', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tls-'));
  const caFile = join(dir, 'ca.pem');
  const problems: unknown[] = [];
  let running: TlsFront | undefined;
  afterEach(async () => {
    await running?.close();
    running = undefined;
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  /** A store on a fake behind TLS; `trusting` is what the CA file holds. */
  async function opened(identity = good, trusting: string | null = authority.cert) {
    const { fake, another, logged } = await openStore({ apiVersion: 'v3' });
    const front = await TlsFront.start(identity, fake.url);
    running = front;
    if (trusting !== null) writeFileSync(caFile, trusting);
    const files = new WatchedFiles(new FixedClock(), new FixedMonotonicTime(), (_level, event, fields) =>
      problems.push([event, fields]),
    );
    const store = another({
      url: `https://localhost:${front.port}`,
      ...(trusting !== null && infisicalConnection({ authorityFiles: { caFile } }, files)),
    });
    return { fake, store, logged, front };
  }

  it('is used from the first write to the last read', async () => {
    const { fake, store, front } = await opened(good, `# ours\n${stranger.cert}\n${authority.cert}`);
    await store.create(at(), { name: 'n', value: 'v' });
    await store.update(at(), { name: 'n', value: 'w' });
    expect(await store.retrieve(at(), 'n')).toEqual({ name: 'n', value: 'w' });
    await store.delete(at(), 'n');
    expect(await store.list(at())).toEqual([]);
    await store.ping();
    expect(fake.calls.length).toBeGreaterThan(6);
    // One call at a time needs one connection: it is kept.
    expect(front.accepted).toBe(1);
  });

  const CASES = [
    ['unknownAuthority', 'is of an authority that is not trusted here', good, null],
    ['unknownAuthority', 'is of an authority that is not trusted here', good, stranger.cert],
    ['wrongHost', 'is for another host name', authority.certificateFor('other.example'), authority.cert],
    ['expired', 'has expired', authority.certificateFor('localhost', [-9, -1]), authority.cert],
    ['notYetValid', 'is not valid yet', authority.certificateFor('localhost', [1, 9]), authority.cert],
  ] as const;

  it.each(CASES)(
    'gets no request when its certificate is %s, and readiness says so',
    async (why, words, identity, ca) => {
      const { fake, store, logged } = await opened(identity, ca);
      const error: unknown = await store
        .create(at(), { name: 'n', value: 'canary' })
        .catch((e: unknown) => e);
      expect(error).toEqual(new StoreUnavailable());
      expect((error as Error).cause).toBeUndefined();
      expect(logged).toEqual([
        { event: 'infisical_call_failed', fields: expect.objectContaining({ reason: `certificate:${why}` }) },
      ]);
      await expect(store.ping()).rejects.toThrow(`Infisical's certificate ${words}`);
      expect(fake.calls).toEqual([]);
    },
  );

  it('may change its authority: the file is read anew, and kept in mind while it is unusable', async () => {
    const { store, front } = await opened();
    await store.create(at(), { name: 'n', value: 'v' });
    front.renew(stranger.certificateFor('localhost'));
    front.cut();
    await expect(store.retrieve(at(), 'n')).rejects.toBeInstanceOf(StoreUnavailable);
    writeFileSync(caFile, `${stranger.cert}${stranger.cert}`);
    expect(await store.retrieve(at(), 'n')).toEqual({ name: 'n', value: 'v' });
    for (const halfWritten of ['half-written', `${authority.cert}${stranger.cert.slice(0, 300)}`]) {
      writeFileSync(caFile, halfWritten);
      front.cut();
      expect(await store.retrieve(at(), 'n')).toEqual({ name: 'n', value: 'v' });
    }
    expect(problems).toEqual([
      ['credential_reloaded', { name: 'INFISICAL_CA_FILE' }],
      [
        'credential_reload_failed',
        { name: 'INFISICAL_CA_FILE', problem: `${caFile} holds no PEM certificate` },
      ],
      [
        'credential_reload_failed',
        { name: 'INFISICAL_CA_FILE', problem: `${caFile} holds a damaged certificate` },
      ],
    ]);
    // Who is not trusted any more is not let in by an old session.
    writeFileSync(caFile, authority.cert);
    front.cut();
    await expect(store.retrieve(at(), 'n')).rejects.toBeInstanceOf(StoreUnavailable);
  });

  it('is trusted beside the authorities that Node knows, NODE_EXTRA_CA_CERTS among them', async () => {
    writeFileSync(caFile, authority.cert);
    const extraCaFile = join(dir, 'extra.pem');
    writeFileSync(extraCaFile, stranger.cert);
    const trusted = (extra: string) =>
      infisicalConnection({ authorityFiles: { caFile, extraCaFile: extra } }).authorities?.() ?? [];
    const all = trusted(extraCaFile);
    const trim = (pem: string) => pem.replace(/\r/g, '').trim();
    expect(all.map(trim)).toEqual([...rootCertificates, stranger.cert, authority.cert].map(trim));
    // One that is being written costs that one.
    writeFileSync(extraCaFile, `${stranger.cert}\n${authority.cert.slice(0, 200)}`);
    expect(trusted(extraCaFile)).toHaveLength(rootCertificates.length + 2);
    expect(trusted(join(dir, 'absent'))).toHaveLength(rootCertificates.length + 1);
  });

  it('may have carried out a write on whose connection TLS broke after the handshake', async () => {
    const { fake, store, front } = await opened();
    await store.create(at(), { name: 'a', value: 'v' });
    front.breakNextAnswer();
    await store.create(at(), { name: 'k', value: 'v' });
    expect(rowsOf(fake, at())).toContainEqual(['k', 'v']);
    expect(fake.count('GET', ROUTES.list)).toBe(1);
  });

  it('is no certificate at all where the address is plain http after all', async () => {
    const { fake, another, logged } = await openStore({ apiVersion: 'v3' });
    const mistaken = another({ url: fake.url.replace('http:', 'https:') });
    await expect(mistaken.retrieve(at(), 'n')).rejects.toBeInstanceOf(StoreUnavailable);
    expect(logged.map(({ fields }) => fields['reason'])).toEqual(['tlsFailed']);
  });
});
