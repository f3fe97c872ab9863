import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DirectoryGrantSource } from '../../src/grant-sources/directory/directory.grant-source';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { withoutPrivileges } from '../support/without-privileges';
import { credentialsOf, GrantsFolder, manifestOf } from './grants-folder';

/** What the contract calls "about a second", on a machine that is busy with other tests. */
const IN_FORCE_WITHIN_MS = 2500;

describeGrantSource('the folder of manifests', {
  inForceWithinMs: IN_FORCE_WITHIN_MS,
  open: async (apps) => {
    const folder = new GrantsFolder(apps);
    const source = await DirectoryGrantSource.open({ dir: folder.dir, log: () => undefined });
    return {
      source,
      install: async (installed) => {
        for (let index = 0; index < apps.length; index++) folder.remove(`app-${index}`);
        for (const [index, app] of installed.entries()) folder.install(`app-${index}`, app);
      },
      dispose: async () => {
        await source.close();
        folder.dispose();
      },
    };
  },
});

const NOTES: AppToInstall = {
  app: 'notes',
  user: 'alice',
  appKey: 'canary_key',
  appSecret: 'canary_secret',
  ops: ['ListSecret?workspace=desk', 'CreateSecret?workspace=desk'],
};
const MAIL: AppToInstall = { ...NOTES, app: 'mail', appKey: 'canary_key_of_mail', ops: ['ListSecret'] };
const LIST = 'ListSecret?workspace=desk';
const BROKEN = 'metadata:\n  name: notes\npermission:\n  {{ if .a }}\n';

describe('the folder of manifests', () => {
  let folder: GrantsFolder;
  let logged: { level: string; event: string; [field: string]: unknown }[];
  const sources: DirectoryGrantSource[] = [];

  beforeEach(() => {
    folder = new GrantsFolder();
    logged = [];
  });
  afterEach(async () => {
    for (const source of sources.splice(0)) {
      const said = JSON.stringify([logged, source.status()]);
      await source.close();
      expect(said).not.toContain('canary');
    }
    folder.dispose();
  });

  const open = async (dir = folder.dir): Promise<DirectoryGrantSource> => {
    const log = (level: string, event: string, fields?: object) =>
      void logged.push({ level, event, ...fields });
    const source = await DirectoryGrantSource.open({ dir, log });
    sources.push(source);
    return source;
  };
  const eventually = async (expectation: () => void): Promise<void> => {
    const untilMs = performance.now() + IN_FORCE_WITHIN_MS;
    for (;;) {
      try {
        return expectation();
      } catch (error: unknown) {
        if (performance.now() >= untilMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const grants = (source: DirectoryGrantSource, app = 'notes') => [
    ...(source.find('alice', app)?.grants ?? []),
  ];

  describe('as a whole', () => {
    it('that is empty is ready with no apps', async () => {
      expect((await open()).status()).toEqual({ ready: true, installedApps: 0, problems: [] });
    });

    it('that is missing is not ready, says so, and is taken when it comes', async () => {
      const dir = join(folder.root, 'later');
      const source = await open(dir);
      const problem = {
        source: dir,
        reason: 'the folder cannot be read (ENOENT)',
        servedFromLastGood: false,
      };
      expect(source.status()).toEqual({ ready: false, installedApps: 0, problems: [problem] });
      expect(logged).toEqual([{ level: 'error', event: 'grants_problem', ...problem }]);
      folder.install('notes', NOTES);
      renameSync(folder.dir, dir);
      await eventually(() =>
        expect(source.status()).toEqual({ ready: true, installedApps: 1, problems: [] }),
      );
      writeFileSync(join(dir, 'notes', 'OlaresManifest.yaml'), manifestOf({ ...NOTES, ops: [LIST] }));
      await eventually(() => expect(grants(source)).toEqual([LIST]));
    });

    it('that is a file is not ready', async () => {
      folder.write('file', '');
      expect((await open(folder.path('file'))).status()).toMatchObject({ ready: false });
    });

    it('that disappears later stays in force, says so, and is taken again when it comes back', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      renameSync(folder.dir, join(folder.root, 'away'));
      const problem = {
        source: folder.dir,
        reason: expect.stringContaining('ENOENT'),
        servedFromLastGood: true,
      };
      await eventually(() => expect(source.status().problems).toEqual([problem]));
      expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
      expect(grants(source)).toEqual(NOTES.ops);
      mkdirSync(folder.dir);
      folder.install('mail', MAIL);
      await eventually(() => {
        expect(source.find('alice', 'notes')).toBeUndefined();
        expect(grants(source, 'mail')).toEqual(['ListSecret?workspace=mail']);
        expect(source.status().problems).toEqual([]);
      });
    });

    it('that is replaced by another one is read anew', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      renameSync(folder.dir, join(folder.root, 'old'));
      mkdirSync(join(folder.root, 'new'));
      renameSync(join(folder.root, 'new'), folder.dir);
      await eventually(() => expect(source.status().installedApps).toBe(0));
      folder.install('mail', MAIL);
      await eventually(() => expect(grants(source, 'mail')).toHaveLength(1));
    });

    it('that is removed and made again at once is followed, although it may have the same inode', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      rmSync(folder.dir, { recursive: true });
      mkdirSync(folder.dir);
      await eventually(() => expect(source.status().installedApps).toBe(0));
      await new Promise((resolve) => setTimeout(resolve, 500));
      folder.install('mail', MAIL);
      await eventually(() => expect(grants(source, 'mail')).toHaveLength(1));
    });

    it('whose folders could not be read in the beginning tells the order of installation all the same', async () => {
      folder.install('b', NOTES);
      await new Promise((resolve) => setTimeout(resolve, 20));
      folder.install('a', { ...MAIL, ops: [LIST] });
      await withoutPrivileges(folder.root, async () => {
        chmodSync(folder.dir, 0o400);
        const source = await open();
        expect(source.status()).toMatchObject({ installedApps: 0 });
        chmodSync(folder.dir, 0o700);
        await eventually(() => expect(source.status()).toMatchObject({ installedApps: 2, problems: [] }));
        expect(source.holdersOf('alice', 'desk')).toEqual(['notes', 'mail']);
      });
    });

    it('may itself be a link', async () => {
      folder.install('notes', NOTES);
      symlinkSync(folder.dir, join(folder.root, 'link'));
      const source = await open(join(folder.root, 'link'));
      folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: [LIST] }));
      await eventually(() => expect(grants(source)).toEqual([LIST]));
    });

    it('is left alone once the source is closed', async () => {
      const source = await open();
      await source.close();
      folder.install('notes', NOTES);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(source.status().installedApps).toBe(0);
    });
  });

  describe('with an app', () => {
    it('takes it under whatever name its folder has, and for two users from two folders', async () => {
      folder.install('one', NOTES);
      folder.install('two', { ...NOTES, user: 'bob', appKey: 'canary_key_of_bob' });
      const source = await open();
      expect(source.find('alice', 'notes')).toEqual({
        ...{ app: 'notes', user: 'alice', appKey: NOTES.appKey, appSecret: NOTES.appSecret },
        grants: new Set(NOTES.ops),
      });
      expect(source.find('bob', 'notes')?.appKey).toBe('canary_key_of_bob');
      expect([...source.installedApps()].map(({ user }) => user)).toEqual(['alice', 'bob']);
    });

    it('notices a file that is written in place, replaced by a rename, or written again and again', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: [LIST] }));
      await eventually(() => expect(grants(source)).toEqual([LIST]));
      folder.replace('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: ['CreateSecret'] }));
      await eventually(() => expect(grants(source)).toEqual(['CreateSecret?workspace=notes']));
      for (let turn = 0; turn < 50; turn++) {
        folder.replace(
          'notes/OlaresManifest.yaml',
          manifestOf({ ...NOTES, ops: [`ListSecret?workspace=w${turn}`] }),
        );
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await eventually(() => expect(grants(source)).toEqual(['ListSecret?workspace=w49']));
    });

    it('notices a change that leaves the size and the times of the file as they were', async () => {
      const write = (workspace: string) => {
        folder.install('notes', { ...NOTES, ops: [`ListSecret?workspace=${workspace}`] });
        const [accessed, modified] = [new Date('2021-01-01'), new Date('2020-01-01')];
        utimesSync(folder.path('notes/OlaresManifest.yaml'), accessed, modified);
        utimesSync(folder.path('notes/app.yaml'), accessed, modified);
      };
      write('a');
      const source = await open();
      write('b');
      await eventually(() => expect(grants(source)).toEqual(['ListSecret?workspace=b']));
    });

    it('takes a change although changes never cease', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      const noise = setInterval(() => folder.write('notes/noise', String(performance.now())), 10);
      try {
        folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: [LIST] }));
        await eventually(() => expect(grants(source)).toEqual([LIST]));
      } finally {
        clearInterval(noise);
      }
    });

    it('forgets it at once when its folder, its manifest or its app.yaml is removed, and logs that', async () => {
      folder.install('notes', NOTES);
      folder.install('mail', MAIL);
      folder.install('chat', { ...NOTES, app: 'chat', appKey: 'canary_key_of_chat' });
      const source = await open();
      expect(source.status().installedApps).toBe(3);
      folder.remove('notes');
      folder.remove('mail/OlaresManifest.yaml');
      folder.remove('chat/app.yaml');
      await eventually(() => {
        expect(source.status()).toEqual({
          ready: true,
          installedApps: 0,
          problems: [
            { source: 'chat/app.yaml', reason: 'is missing', servedFromLastGood: false },
            { source: 'mail/OlaresManifest.yaml', reason: 'is missing', servedFromLastGood: false },
          ],
        });
      });
      expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
      const withdrawn = logged.filter(({ event }) => event === 'grants_withdrawn');
      expect(withdrawn.map((line) => line['source']).sort()).toEqual(['chat', 'mail', 'notes']);
    });

    it('forgets it when its folder becomes a file', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.remove('notes');
      folder.write('notes', '');
      await eventually(() =>
        expect(source.status()).toEqual({ ready: true, installedApps: 0, problems: [] }),
      );
    });

    it('names the folders of apps that collide', async () => {
      folder.install('one', NOTES);
      folder.install('two', { ...NOTES, appKey: 'canary_other' });
      folder.install('three', { ...MAIL, appKey: NOTES.appKey });
      const source = await open();
      const reasons = source.status().problems.map(({ source: at, reason }) => `${at}: ${reason}`);
      expect(reasons).toEqual([
        'one: the same app and user as two; none of them is served',
        'one: the same app key as three; none of them is served',
        'three: the same app key as one; none of them is served',
        'two: the same app and user as one; none of them is served',
      ]);
      expect(source.status().installedApps).toBe(0);
    });
  });

  describe('with a file that went bad', () => {
    it('keeps the last good grants, says where and why, and takes the mended file', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.write('notes/OlaresManifest.yaml', BROKEN);
      const problem = {
        source: 'notes/OlaresManifest.yaml',
        line: 4,
        reason: 'a template directive without its {{ end }}',
        servedFromLastGood: true,
      };
      await eventually(() => {
        expect(source.status()).toEqual({ ready: true, installedApps: 1, problems: [problem] });
      });
      expect(grants(source)).toEqual(NOTES.ops);
      expect(logged).toContainEqual({ level: 'warn', event: 'grants_problem', ...problem });
      folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: [LIST] }));
      await eventually(() => expect(source.status().problems).toEqual([]));
      expect(grants(source)).toEqual([LIST]);
      expect(logged).toContainEqual({
        level: 'info',
        event: 'grants_problem_solved',
        source: problem.source,
      });
    });

    it('keeps nothing where nothing was ever good', async () => {
      folder.install('notes', NOTES);
      folder.write('notes/OlaresManifest.yaml', BROKEN);
      const source = await open();
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
      expect(source.status().problems).toMatchObject([{ line: 4, servedFromLastGood: false }]);
      expect(logged).toContainEqual(
        expect.objectContaining({ level: 'error', event: 'grants_problem', line: 4 }),
      );
    });

    it('withdraws a grant by a good manifest although app.yaml is bad', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.write('notes/app.yaml', 'user: [canary');
      folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, ops: [LIST] }));
      await eventually(() => {
        expect(grants(source)).toEqual([LIST]);
        expect(source.status().problems).toMatchObject([
          { source: 'notes/app.yaml', servedFromLastGood: true },
        ]);
      });
    });

    it('takes a new secret by a good app.yaml although the manifest is bad', async () => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.write('notes/OlaresManifest.yaml', BROKEN);
      folder.write('notes/app.yaml', credentialsOf({ ...NOTES, appSecret: 'canary_rotated' }));
      await eventually(() => expect(source.find('alice', 'notes')?.appSecret).toBe('canary_rotated'));
      expect(grants(source)).toEqual(NOTES.ops);
    });

    it.each<[string, () => void]>([
      ['another user', () => folder.write('notes/app.yaml', credentialsOf({ ...NOTES, user: 'bob' }))],
      ['another app', () => folder.write('notes/OlaresManifest.yaml', manifestOf({ ...NOTES, app: 'mail' }))],
    ])('never lends one app its last good half of another: %s', async (what, change) => {
      folder.install('notes', NOTES);
      const source = await open();
      folder.write(what === 'another user' ? 'notes/OlaresManifest.yaml' : 'notes/app.yaml', BROKEN);
      change();
      await eventually(() => expect(source.status().installedApps).toBe(0));
      expect(source.status().problems).toMatchObject([{ servedFromLastGood: false }]);
      expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
    });

    it('serves no new app from two halves that were never good together', async () => {
      folder.install('notes', NOTES);
      folder.write('notes/app.yaml', 'canary');
      const source = await open();
      folder.write('notes/OlaresManifest.yaml', BROKEN);
      folder.write('notes/app.yaml', credentialsOf(NOTES));
      await eventually(() => expect(source.status().problems).toMatchObject([{ line: 4 }]));
      expect(source.status().installedApps).toBe(0);
    });
  });

  describe('mounted by Kubernetes', () => {
    const files = (prefix: string, app: AppToInstall) => ({
      [`${prefix}OlaresManifest.yaml`]: manifestOf(app),
      [`${prefix}app.yaml`]: credentialsOf(app),
    });

    it('one mount for each app, follows the swap of ..data', async () => {
      mkdirSync(folder.path('notes'));
      folder.swapMount('notes', 'v1', files('', NOTES));
      for (const name of Object.keys(files('', NOTES)))
        symlinkSync(`..data/${name}`, folder.path('notes', name));
      const source = await open();
      expect(grants(source)).toEqual(NOTES.ops);
      folder.swapMount('notes', 'v2', files('', { ...NOTES, ops: [LIST] }));
      rmSync(folder.path('notes', '..v1'), { recursive: true });
      await eventually(() => expect(grants(source)).toEqual([LIST]));
      folder.swapMount('notes', 'v3', files('', { ...NOTES, ops: ['CreateSecret'] }));
      rmSync(folder.path('notes', '..v2'), { recursive: true });
      await eventually(() => expect(grants(source)).toEqual(['CreateSecret?workspace=notes']));
      expect(source.status().problems).toEqual([]);
    });

    it('one mount for all apps, follows the swap of ..data, and an app that it drops is gone', async () => {
      folder.swapMount('', 'v1', { ...files('notes/', NOTES), ...files('mail/', MAIL) });
      for (const name of ['notes', 'mail']) symlinkSync(`..data/${name}`, folder.path(name));
      const source = await open();
      expect(source.status()).toEqual({ ready: true, installedApps: 2, problems: [] });
      folder.swapMount('', 'v2', files('notes/', { ...NOTES, ops: [LIST] }));
      rmSync(folder.path('..v1'), { recursive: true });
      await eventually(() => {
        expect(grants(source)).toEqual([LIST]);
        expect(source.find('alice', 'mail')).toBeUndefined();
      });
      rmSync(folder.path('mail'));
      await eventually(() =>
        expect(source.status()).toEqual({ ready: true, installedApps: 1, problems: [] }),
      );
    });
  });

  describe('with anything else in it', () => {
    it('serves the good apps, names what is wrong, and neither blocks nor fails', async () => {
      const odd = (name: string, make: (path: string) => void) => {
        folder.install(name, { ...NOTES, app: name, appKey: `canary_${name}` });
        folder.remove(`${name}/OlaresManifest.yaml`);
        make(folder.path(name, 'OlaresManifest.yaml'));
      };
      folder.install('notes', NOTES);
      folder.write('README.md', 'A file beside the folders.');
      folder.write('OlaresManifest.yaml', manifestOf(MAIL));
      mkdirSync(folder.path('.git'));
      mkdirSync(folder.path('empty'));
      mkdirSync(folder.path('bad name'));
      symlinkSync('loop', folder.path('loop'));
      symlinkSync('/', folder.path('root'));
      symlinkSync('nowhere', folder.path('dangling'));
      execFileSync('mkfifo', [folder.path('pipe')]);
      odd('binary', (path) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00, 0x80])));
      odd('control', (path) => writeFileSync(path, 'a: \u0000'));
      odd('device', (path) => symlinkSync('/dev/zero', path));
      odd('directory', (path) => mkdirSync(path));
      odd('fifo', (path) => execFileSync('mkfifo', [path]));
      odd('huge', (path) => writeFileSync(path, '#'.repeat(300 * 1024)));
      odd('looping', (path) => symlinkSync('OlaresManifest.yaml', path));
      odd('unreadable', (path) => symlinkSync('/proc/self/mem', path));
      const startedMs = performance.now();
      const source = await open();
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
      const reasons = source.status().problems.map(({ source: at, reason }) => `${at}: ${reason}`);
      expect(reasons).toEqual([
        expect.stringMatching(/^"bad name": a folder's name must be/),
        'binary/OlaresManifest.yaml: not UTF-8 text',
        'control/OlaresManifest.yaml: a control character',
        'dangling/OlaresManifest.yaml: is missing',
        'dangling/app.yaml: is missing',
        'device/OlaresManifest.yaml: not a regular file',
        'directory/OlaresManifest.yaml: not a regular file',
        'empty/OlaresManifest.yaml: is missing',
        'empty/app.yaml: is missing',
        'fifo/OlaresManifest.yaml: not a regular file',
        'huge/OlaresManifest.yaml: larger than 65536 bytes',
        'loop/OlaresManifest.yaml: cannot be read (ELOOP)',
        'loop/app.yaml: cannot be read (ELOOP)',
        'looping/OlaresManifest.yaml: cannot be read (ELOOP)',
        'root/OlaresManifest.yaml: is missing',
        'root/app.yaml: is missing',
        'unreadable/OlaresManifest.yaml: cannot be read (EIO)',
      ]);
      folder.install('notes', { ...NOTES, ops: [LIST] });
      await eventually(() => expect(grants(source)).toEqual([LIST]));
    });

    it('keeps an app whose file may no longer be read', async () => {
      folder.install('notes', NOTES);
      await withoutPrivileges(folder.root, async () => {
        const source = await open();
        chmodSync(folder.path('notes', 'OlaresManifest.yaml'), 0);
        await eventually(() =>
          expect(source.status().problems).toMatchObject([{ servedFromLastGood: true }]),
        );
        expect(grants(source)).toEqual(NOTES.ops);
      });
    });
  });

  describe('in its log', () => {
    const warnings = () => logged.filter(({ event }) => event === 'grants_warning');

    it('warns of an op that grants nothing once for each change of the file', async () => {
      folder.install('notes', { ...NOTES, ops: [LIST, 'All'] });
      const source = await open();
      const warning = {
        level: 'warn',
        event: 'grants_warning',
        source: 'notes/OlaresManifest.yaml',
        line: 11,
        reason: expect.stringContaining('op "All"'),
      };
      expect(warnings()).toEqual([warning]);
      folder.install('mail', MAIL);
      await eventually(() => expect(source.status().installedApps).toBe(2));
      folder.write('notes/OlaresManifest.yaml', readFileSync(folder.path('notes/OlaresManifest.yaml')));
      folder.remove('mail');
      await eventually(() => expect(source.status().installedApps).toBe(1));
      expect(warnings()).toEqual([warning]);
      folder.write('notes/OlaresManifest.yaml', `\n${manifestOf({ ...NOTES, ops: [LIST, 'All'] })}`);
      await eventually(() => expect(warnings()).toEqual([warning, { ...warning, line: 12 }]));
    });

    it('tells the first twenty of many warnings', async () => {
      folder.install('notes', { ...NOTES, ops: Array.from({ length: 30 }, (_, index) => `Op${index}`) });
      await open();
      expect(warnings()).toHaveLength(20);
      expect(logged).toContainEqual(
        expect.objectContaining({ event: 'grants_warnings_omitted', leftOff: 10 }),
      );
    });

    it('tells a problem once', async () => {
      folder.install('notes', NOTES);
      folder.write('notes/app.yaml', 'canary');
      const source = await open();
      folder.install('mail', MAIL);
      await eventually(() => expect(source.status().installedApps).toBe(1));
      expect(logged.filter(({ event }) => event === 'grants_problem')).toHaveLength(1);
    });
  });
});
