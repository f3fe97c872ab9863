import { SECRET_OPERATIONS } from '../../src/authz/grant';
import type { GrantSource } from '../../src/authz/grant-source';

/** An app as the suite wants it installed; `ops` as a manifest states them. */
export interface AppToInstall {
  readonly app: string;
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
  readonly ops: readonly string[];
}

/** What the suite needs of a source: one that knows these apps, and a way to change which ones there are. */
export interface GrantSourceUnderTest {
  open(apps: readonly AppToInstall[]): Promise<{
    readonly source: GrantSource;
    /** Makes these the installed apps. It may take `inForceWithinMs` until the source says so. */
    readonly install: (apps: readonly AppToInstall[]) => Promise<void>;
    dispose(): Promise<void>;
  }>;
  /** False where the source knows no app keys and secrets: its apps prove themselves by their ServiceAccounts alone. */
  readonly hasKeys?: boolean;
  /** 0 where a change is in force at once. */
  readonly inForceWithinMs: number;
}

const SECRET = 'canary-of-an-app-secret';
const KEY = 'canary_of_an_app_key';

function app(name: string, user: string, ops: readonly string[] = []): AppToInstall {
  return {
    app: name,
    user,
    appKey: `${KEY}_${name}_of_${user}`,
    appSecret: `${SECRET}-${name}-${user}`,
    ops,
  };
}

export function describeGrantSource(title: string, subject: GrantSourceUnderTest): void {
  const { hasKeys = true } = subject;
  describe(`${title} keeps the contract of a grant source`, () => {
    type Opened = Awaited<ReturnType<GrantSourceUnderTest['open']>>;
    const opened: Opened[] = [];
    const open = async (...apps: readonly AppToInstall[]): Promise<Opened> => {
      const one = await subject.open(apps);
      opened.push(one);
      return one;
    };
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.dispose();
    });

    /** Repeats an expectation until it holds, at most as long as a change may take. */
    const eventually = async (expectation: () => void): Promise<void> => {
      const untilMs = performance.now() + subject.inForceWithinMs;
      for (;;) {
        try {
          return expectation();
        } catch (error: unknown) {
          if (performance.now() >= untilMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    const grantsOf = (source: GrantSource, user: string, name: string): readonly string[] =>
      [...(source.find(user, name)?.grants ?? [])].sort();

    it('is ready with no app where none is installed', async () => {
      const { source } = await open();
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0, problems: [] });
      expect(source.find('alice', 'notes')).toBeUndefined();
      expect(source.requireIndex().findByKey('')).toBeUndefined();
    });

    it('finds an app by user and name, and by its key if it has one, with everything that was stated', async () => {
      const notes = app('notes', 'alice', ['RetrieveSecret?workspace=desk', 'ListSecret?workspace=desk']);
      const { source } = await open(notes);
      const expected = {
        app: 'notes',
        user: 'alice',
        ...(hasKeys && { appKey: notes.appKey, appSecret: notes.appSecret }),
        grants: new Set(['RetrieveSecret?workspace=desk', 'ListSecret?workspace=desk']),
      };
      expect(source.find('alice', 'notes')).toMatchObject(expected);
      if (hasKeys)
        expect(source.requireIndex().findByKey(notes.appKey)).toEqual(source.find('alice', 'notes'));
      expect(source.status()).toMatchObject({ ready: true, installedApps: 1, problems: [] });
    });

    it('compares names and keys byte for byte and as a whole', async () => {
      const { source } = await open(app('notes', 'alice'));
      for (const [user, name] of [
        ['Alice', 'notes'],
        ['alice', 'Notes'],
        ['alice', 'note'],
        ['alice', 'notes '],
        ['alicen', 'otes'],
        ['notes', 'alice'],
        ['', 'notes'],
        ['alice', ''],
        ['__proto__', 'notes'],
        ['alice', 'constructor'],
      ] as const)
        expect(source.find(user, name)).toBeUndefined();
      const key = `${KEY}_notes_of_alice`;
      for (const other of [
        key.slice(1),
        `${key} `,
        key.toUpperCase(),
        '__proto__',
        'constructor',
        'toString',
      ]) {
        expect(source.requireIndex().findByKey(other)).toBeUndefined();
      }
    });

    it('keeps users and apps apart whose names join to the same text', async () => {
      const { source } = await open(
        app('c', 'a-b', ['ListSecret?workspace=one']),
        app('b-c', 'a', ['ListSecret?workspace=two']),
        app('2', '1', ['ListSecret?workspace=three']),
        app('12', '1', ['ListSecret?workspace=four']),
        app('2', '11', ['ListSecret?workspace=five']),
      );
      expect(grantsOf(source, 'a-b', 'c')).toEqual(['ListSecret?workspace=one']);
      expect(grantsOf(source, 'a', 'b-c')).toEqual(['ListSecret?workspace=two']);
      expect(grantsOf(source, '1', '2')).toEqual(['ListSecret?workspace=three']);
      expect(grantsOf(source, '1', '12')).toEqual(['ListSecret?workspace=four']);
      expect(grantsOf(source, '11', '2')).toEqual(['ListSecret?workspace=five']);
    });

    it('serves one app that is installed for two users, each with its own grants', async () => {
      const { source } = await open(
        app('notes', 'alice', ['CreateSecret']),
        app('notes', 'bob', ['RetrieveSecret']),
      );
      expect(grantsOf(source, 'alice', 'notes')).toEqual(['CreateSecret?workspace=notes']);
      expect(grantsOf(source, 'bob', 'notes')).toEqual(['RetrieveSecret?workspace=notes']);
    });

    it('grants every operation where every one is stated', async () => {
      const ops = SECRET_OPERATIONS.map((operation) => `${operation}?workspace=desk`);
      const { source } = await open(app('notes', 'alice', ops));
      expect(grantsOf(source, 'alice', 'notes')).toEqual([...ops].sort());
    });

    it('takes a bare op for the workspace named like the app, and grants nothing for an op that is not exact', async () => {
      const { source } = await open(
        app('notes', 'alice', [
          'ListSecret',
          'RetrieveSecret?',
          'retrieveSecret?workspace=desk',
          'All',
          '*',
          'GET',
          'ListSecret?workspace=',
          'ListSecret?workspace=a&workspace=b',
          'ListSecret?workspace=a&env=dev',
          'ListSecret?Workspace=a',
          'ListSecret?workspace=%61',
          'ListSecret?workspace=../a',
          'ListSecret?workspace=*',
          ' ListSecret?workspace=a',
        ]),
      );
      expect(grantsOf(source, 'alice', 'notes')).toEqual(['ListSecret?workspace=notes']);
    });

    it('knows an app without any grant', async () => {
      const { source } = await open(app('notes', 'alice'));
      expect(source.find('alice', 'notes')?.grants).toEqual(new Set());
    });

    it('brings a new app, a new grant and a new key into force', async () => {
      const { source, install } = await open(app('notes', 'alice'));
      const rotated = { ...app('notes', 'alice', ['ListSecret?workspace=desk']), appKey: 'another_key' };
      await install([rotated, app('mail', 'alice')]);
      await eventually(() => {
        expect(grantsOf(source, 'alice', 'notes')).toEqual(['ListSecret?workspace=desk']);
        if (hasKeys) expect(source.requireIndex().findByKey('another_key')?.app).toBe('notes');
        expect(source.requireIndex().findByKey(`${KEY}_notes_of_alice`)).toBeUndefined();
        expect(source.find('alice', 'mail')?.app).toBe('mail');
        expect(source.status().installedApps).toBe(2);
      });
    });

    it('withdraws a grant, and leaves the app that somebody holds as it was', async () => {
      const ops = ['ListSecret?workspace=desk', 'CreateSecret?workspace=desk'];
      const { source, install } = await open(app('notes', 'alice', ops));
      const held = source.find('alice', 'notes');
      await install([app('notes', 'alice', ['ListSecret?workspace=desk'])]);
      await eventually(() =>
        expect(grantsOf(source, 'alice', 'notes')).toEqual(['ListSecret?workspace=desk']),
      );
      expect([...(held?.grants ?? [])]).toEqual(ops);
    });

    it('forgets an app that was removed, by name and by key', async () => {
      const { source, install } = await open(app('notes', 'alice'), app('mail', 'alice'));
      await install([app('mail', 'alice')]);
      await eventually(() => {
        expect(source.find('alice', 'notes')).toBeUndefined();
        expect(source.requireIndex().findByKey(`${KEY}_notes_of_alice`)).toBeUndefined();
        expect(source.status()).toMatchObject({ ready: true, installedApps: 1, problems: [] });
      });
    });

    if (hasKeys) {
      it('serves none of two apps with the same key, says so, and serves both again when that is mended', async () => {
        const notes = app('notes', 'alice', ['ListSecret']);
        const thief = { ...app('thief', 'bob', ['ListSecret']), appKey: notes.appKey };
        const { source, install } = await open(notes, thief, app('mail', 'alice'));
        expect(source.requireIndex().findByKey(notes.appKey)).toBeUndefined();
        expect(source.find('alice', 'notes')).toBeUndefined();
        expect(source.find('bob', 'thief')).toBeUndefined();
        expect(source.find('alice', 'mail')?.app).toBe('mail');
        expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
        expect(source.status().problems).toHaveLength(2);
        expect(source.status().problems.every(({ servedFromLastGood }) => !servedFromLastGood)).toBe(true);
        await install([notes, { ...thief, appKey: 'a_key_of_its_own' }, app('mail', 'alice')]);
        await eventually(() => {
          expect(source.requireIndex().findByKey(notes.appKey)?.app).toBe('notes');
          expect(source.find('bob', 'thief')?.appKey).toBe('a_key_of_its_own');
          expect(source.status()).toMatchObject({ ready: true, installedApps: 3, problems: [] });
        });
      });
    }

    it('serves none of two installations of one app for one user, and says so', async () => {
      const first = app('notes', 'alice', ['ListSecret']);
      const second = { ...app('notes', 'alice', ['CreateSecret']), appKey: 'second_key' };
      const { source } = await open(first, second);
      expect(source.find('alice', 'notes')).toBeUndefined();
      expect(source.requireIndex().findByKey(first.appKey)).toBeUndefined();
      expect(source.requireIndex().findByKey('second_key')).toBeUndefined();
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
      expect(source.status().problems).not.toHaveLength(0);
    });

    it('knows which apps of a user share a workspace, and those of another user do not', async () => {
      const desk = ['ListSecret?workspace=desk'];
      const { source, install } = await open(
        app('notes', 'alice', [...desk, 'CreateSecret?workspace=desk', 'ListSecret?workspace=own']),
        app('mail', 'alice', ['CreateSecret?workspace=desk']),
        app('notes', 'bob', desk),
      );
      expect([...source.holdersOf('alice', 'desk')].sort()).toEqual(['mail', 'notes']);
      expect(source.holdersOf('alice', 'own')).toEqual(['notes']);
      expect(source.holdersOf('bob', 'desk')).toEqual(['notes']);
      expect(source.holdersOf('alice', 'Desk')).toEqual([]);
      expect(source.holdersOf('carol', 'desk')).toEqual([]);
      expect(source.sharedWorkspaces()).toEqual([
        { user: 'alice', workspace: 'desk', apps: source.holdersOf('alice', 'desk') },
      ]);
      await install([app('mail', 'alice', ['CreateSecret?workspace=desk']), app('notes', 'bob', desk)]);
      await eventually(() => {
        expect(source.holdersOf('alice', 'desk')).toEqual(['mail']);
        expect(source.holdersOf('alice', 'own')).toEqual([]);
        expect(source.sharedWorkspaces()).toEqual([]);
      });
    });

    it('lists the apps that it serves, and tells of each one that it serves otherwise than before', async () => {
      const notes = app('notes', 'alice', ['ListSecret']);
      const { source, install } = await open(notes, app('mail', 'alice'));
      const names = () => [...source.installedApps()].map((one) => `${one.user} ${one.app}`).sort();
      expect(names()).toEqual(['alice mail', 'alice notes']);
      const told: string[] = [];
      const end = source.onChange((user, name) =>
        told.push(`${user} ${name} ${grantsOf(source, user, name).length}`),
      );
      await install([app('notes', 'alice', ['ListSecret', 'CreateSecret']), app('chat', 'bob')]);
      await eventually(() => {
        expect(names()).toEqual(['alice notes', 'bob chat']);
        expect([...new Set(told)].sort()).toEqual(['alice mail 0', 'alice notes 2', 'bob chat 0']);
      });
      end();
      told.splice(0);
      await install([notes]);
      await eventually(() => expect(names()).toEqual(['alice notes']));
      expect(told).toEqual([]);
    });

    it('never names a key or a secret in what it reports', async () => {
      const notes = app('notes', 'alice', ['nonsense']);
      const { source } = await open(
        notes,
        { ...app('thief', 'bob'), appKey: notes.appKey },
        app('notes', 'alice'),
      );
      const report = JSON.stringify(source.status());
      expect(report).not.toContain(KEY);
      expect(report).not.toContain(SECRET);
      expect(source.status().problems.length).toBeGreaterThan(0);
    });

    it('can be closed twice', async () => {
      const { source } = await open(app('notes', 'alice'));
      await source.close();
      await source.close();
    });
  });
}
