import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyFrom } from '../../src/config/environment-reader';
import { type Reloadable, WatchedFiles } from '../../src/reloadable/reloadable';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const [OLD, NEW] = ['canary-old-'.padEnd(40, 'o'), 'canary-new-'.padEnd(80, 'n')];

describe('a key in a watched file', () => {
  const dir = mkdtempSync(join(tmpdir(), 'watched-'));
  const path = join(dir, 'key');
  let time: FixedMonotonicTime;
  let logged: unknown[];
  let files: WatchedFiles;
  let key: Reloadable<string>;
  beforeEach(() => {
    rmSync(path, { recursive: true, force: true });
    writeFileSync(path, OLD);
    time = new FixedMonotonicTime();
    logged = [];
    files = new WatchedFiles(new FixedClock(), time, (_level, event, fields) => logged.push([event, fields]));
    key = follow();
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  function follow(initial = OLD): Reloadable<string> {
    const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): string =>
      Buffer.from(keyFrom(path, bytes)).toString();
    return files.follow({ paths: [path], parse, kind: 'credential', name: 'KEY' }, initial);
  }
  const looks = (count: number): void => time.advance(count * 1_000);
  const RELOADED = ['credential_reloaded', { name: 'KEY' }];

  it('counts once two polls have read the same content', () => {
    writeFileSync(path, NEW);
    looks(1);
    expect(key.current()).toBe(OLD);
    looks(1);
    expect([key.current(), logged]).toEqual([NEW, [RELOADED]]);
  });

  it('is never used half written', () => {
    const taken: string[] = [];
    key.whenChanged((value) => taken.push(value));
    for (const length of [0, 35, 60, 80]) {
      writeFileSync(path, NEW.slice(0, length));
      looks(1);
    }
    looks(2);
    expect([taken, logged]).toEqual([[NEW], [RELOADED]]);
  });

  it.each([
    ['missing', () => rmSync(path), 'cannot be read (ENOENT)'],
    ['empty', () => writeFileSync(path, ''), 'holds fewer than 32 bytes'],
    ['too short', () => writeFileSync(path, 'canary'), 'holds fewer than 32 bytes'],
    ['a folder', () => (rmSync(path), mkdirSync(path)), 'cannot be read (EISDIR)'],
  ])('stays what it was while the file is %s, which is said once and without content', (_, spoil, why) => {
    spoil();
    looks(1);
    expect(logged).toEqual([]);
    looks(60);
    expect(key.renewed()).toBe(OLD);
    expect(logged).toEqual([['credential_reload_failed', { name: 'KEY', problem: `${path} ${why}` }]]);
    rmSync(path, { recursive: true, force: true });
    writeFileSync(path, OLD);
    looks(3);
    expect([key.versions.length, logged.length]).toEqual([1, 1]);
    writeFileSync(path, NEW);
    looks(3);
    expect([key.current(), key.versions.length]).toEqual([NEW, 2]);
    expect(JSON.stringify(logged)).not.toContain('canary');
  });

  it('is read at once for a caller that was refused', () => {
    writeFileSync(path, NEW);
    expect([key.renewed(), key.current()]).toEqual([NEW, NEW]);
    looks(5);
    expect(logged).toEqual([RELOADED]);
  });

  it('is the present content of the file if it changed since the settings were read', () => {
    expect(follow('canary-older').versions.map(({ value }) => value)).toEqual([OLD, 'canary-older']); // prettier-ignore
  });

  it('remembers a few versions, however often it changes', () => {
    for (let i = 0; i < 50; i++) {
      writeFileSync(path, `${i}`.padStart(40));
      looks(2);
    }
    expect(key.versions).toHaveLength(8);
    expect(key.current().trim()).toBe('49');
  });

  it('is not read any more after the close', () => {
    files.close();
    writeFileSync(path, NEW);
    looks(10);
    expect(key.current()).toBe(OLD);
  });
});
