import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { ListTooLarge, QuotaExceeded, StoreUnavailable } from '../../src/errors/store-errors';
import { reportText } from '../../src/migration/migration-command';
import { MigrationState } from '../../src/migration/migration-state';
import { createInfisicalStores } from '../../src/stores/infisical/create-infisical-secret-store';
import { MonotonicTime, SystemClock, SystemMonotonicTime } from '../../src/time/clock';
import { MigrationScene } from './migration-run';

let scene: MigrationScene;
beforeEach(async () => {
  scene = await MigrationScene.open();
});
afterEach(async () => scene.close());

const CANARY = 'canary-value-of-a-secret';

describe('a migration', () => {
  it('copies each secret once, under the user who is the member of its project', async () => {
    scene.project('b-c', 'a', { k: 'of b-c', 'integration-account:space:alice': '{"token":"t"}' });
    scene.project('c', 'a-b', { k: 'of c', ' osp:v1:b64:dg==': 'skipped for its name' });
    const doubled = scene.project('alice', 'notes', { twice: 'old' });
    scene.predecessor.addSecret(doubled, 'prod', 'twice', 'newest', 7);
    scene.predecessor.addSecret(doubled, 'prod', 'twice', 'newer', 3);
    scene.predecessor.addSecret(doubled, 'dev', 'raw', 'osp:v1:b64:dg==');
    scene.predecessor.addSecret(doubled, 'dev', 'osp.v1.a~3Ab', 'no name that this service escaped');
    const report = await scene.run();
    expect(await scene.stored(['b-c', 'a'], ['c', 'a-b'], ['alice', 'notes'])).toEqual({
      'b-c a prod k': 'of b-c',
      'b-c a prod integration-account:space:alice': '{"token":"t"}',
      'c a-b prod k': 'of c',
      'alice notes prod twice': 'newest',
      'alice notes dev raw': 'osp:v1:b64:dg==',
      'alice notes dev osp.v1.a~3Ab': 'no name that this service escaped',
    });
    expect(report.totals).toEqual({
      projects: 3,
      read: 7,
      duplicates: 2,
      written: 6,
      equal: 0,
      different: 0,
      skipped: 1,
    });
    expect(report.users.map(({ user, read, written }) => [user, read, written])).toEqual([
      ['alice', 3, 3],
      ['b-c', 2, 2],
      ['c', 2, 1],
    ]);
    const place = { workspace: 'a-b', environment: 'prod' };
    expect(report.users[2]?.skippedSecrets).toEqual([
      { ...place, name: ' osp:v1:b64:dg==', reason: 'name_not_allowed' },
    ]);
    expect(scene.predecessor.roles()).toEqual([]);
    expect(scene.predecessor.granted).toHaveLength(3);
    expect(existsSync(scene.stateFile)).toBe(false);
  });

  it('writes nothing the second time, and finds everything equal', async () => {
    scene.project('alice', 'notes', { a: '1', 'b:c': '2' });
    await scene.run();
    scene.store.calls.length = 0;
    const report = await scene.run();
    expect(report.totals).toMatchObject({ read: 2, written: 0, equal: 2, different: 0 });
    expect(report.clean).toBe(true);
    expect(scene.store.calls.filter((call) => call.startsWith('create'))).toEqual([]);
  });

  it('leaves what the store has with another value as it is, and tells the name', async () => {
    scene.project('alice', 'notes', { k: CANARY, l: 'v' });
    const scope = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
    await scene.store.create(scope, { name: 'k', value: 'changed since' });
    const report = await scene.run();
    expect(report.totals).toMatchObject({ read: 2, written: 1, equal: 0, different: 1 });
    expect(report.users[0]?.differentSecrets).toEqual([
      { workspace: 'notes', environment: 'prod', name: 'k' },
    ]);
    expect((await scene.stored(['alice', 'notes']))['alice notes prod k']).toBe('changed since');
    expect(report.clean).toBe(false);
    expect(reportText(report) + JSON.stringify(report)).not.toContain(CANARY);
  });

  it("copies within one Infisical, beside our own projects, and does not take those for the predecessor's", async () => {
    const { fake } = scene.predecessor;
    const { clientId, clientSecret } = fake.identity;
    const { store: target } = createInfisicalStores(
      { url: fake.url, clientId, clientSecret },
      new SystemClock(),
    );
    scene.project('alice', 'settings', { 'integration-account:space:alice': '{"a":" b "}', padded: ' v ' });
    expect((await scene.run({ target })).totals).toMatchObject({ projects: 1, written: 2 });
    const again = await scene.run({ target });
    expect([again.totals, again.unassignedProjects]).toMatchObject([{ projects: 1, equal: 2 }, []]);
    const ours = fake.world.projects.find(({ slug }) => slug.startsWith('osp-'));
    const keys = ours?.environments.flatMap(({ secrets }) => secrets.map(({ key }) => key));
    expect(keys?.sort()).toEqual(['osp.v1.integration-account~3Aspace~3Aalice', 'padded']);
    await target.close();
  });

  it('writes nothing in a dry run, says what it would write, and takes its roles away', async () => {
    scene.project('alice', 'notes', { k: 'v', l: 'v' });
    const scope = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
    await scene.store.create(scope, { name: 'k', value: 'v' });
    scene.store.calls.length = 0;
    const report = await scene.run({ dryRun: true });
    expect(report.totals).toMatchObject({ read: 2, written: 1, equal: 1 });
    expect(scene.store.calls.filter((call) => !call.startsWith('list'))).toEqual([]);
    expect(scene.predecessor.roles()).toEqual([]);
  });

  it('copies the secrets of the chosen users only', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    scene.project('bob', 'notes', { k: 'v' });
    const report = await scene.run({ users: ['bob'] });
    expect(report.users.map(({ user }) => user)).toEqual(['bob']);
    expect(await scene.stored(['alice', 'notes'])).toEqual({});
    expect(scene.predecessor.granted).toHaveLength(1);
  });

  it('counts of the projects that nobody can assign those of the chosen users alone', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    scene.predecessor.addProject('shared', scene.person('bob'), scene.person('carol'));
    scene.predecessor.addProject('nobodys');
    expect(await scene.run({ users: ['alice'] })).toMatchObject({ clean: true, unassignedProjects: [] });
    expect(await scene.run({ users: ['bob'] })).toMatchObject({
      clean: false,
      unassignedProjects: [{ name: 'shared', reason: 'several_members' }],
    });
    expect((await scene.run()).unassignedProjects).toHaveLength(2);
  });

  it('assigns no project by its name, and says why', async () => {
    scene.project('gone', 'notes', { k: CANARY });
    scene.deleted.add('gone');
    scene.predecessor.addProject('notes-alice');
    scene.predecessor.addProject('shared-alice', scene.person('alice'), scene.person('bob'));
    scene.predecessor.addProject('notes', scene.person('alice'));
    scene.predecessor.addProject('.hidden-alice', scene.person('alice'));
    const twin = scene.predecessor.addPerson('bob@example.org');
    scene.people.set('bob2', twin);
    scene.predecessor.addProject('notes-bob2', twin);
    const report = await scene.run();
    expect(report.unassignedProjects.map(({ name, reason }) => [name, reason])).toEqual([
      ['notes-gone', 'user_deleted'],
      ['notes-alice', 'no_member'],
      ['shared-alice', 'several_members'],
      ['notes', 'name_of_another_form'],
      ['.hidden-alice', 'workspace_not_allowed'],
      ['notes-bob2', 'email_of_several_users'],
    ]);
    expect(report.totals).toMatchObject({ projects: 0, read: 0 });
    expect(scene.predecessor.granted).toEqual([]);
  });

  it.each([
    ['an environment that has no place here', 'environment', false],
    ['a project of several members', 'shared', false],
    ['a project whose member has the address of several users', 'twin', false],
    ['nothing but a project of a deleted user and one of nobody', 'nobody', true],
  ])('says whether everything of the users is in our store: %s', async (_title, what, clean) => {
    const project = scene.project('alice', 'notes', { k: 'v' });
    if (what === 'environment') scene.predecessor.fake.world.addEnvironment(project, 'qa', 'QA');
    if (what === 'shared')
      scene.predecessor.addProject('shared-alice', scene.person('alice'), scene.person('bob'));
    if (what === 'twin') {
      scene.people.set('bob2', scene.person('bob'));
      scene.project('bob', 'notes');
    }
    if (what === 'nobody') {
      scene.project('gone', 'notes', { k: CANARY });
      scene.deleted.add('gone');
      scene.predecessor.addProject('notes-alice');
    }
    const report = await scene.run();
    expect(report).toMatchObject({ complete: true, clean, totals: { different: 0, skipped: 0 } });
  });

  it('leaves a role that the identity has in a project as it is', async () => {
    const { identity } = scene.predecessor.fake;
    const admin = scene.project('alice', 'notes', { k: 'v' });
    admin.members.set(identity.id, 'admin');
    const without = scene.project('alice', 'mail', { k: 'v' });
    without.members.set(identity.id, 'no-access');
    const before = scene.predecessor.roles();
    const report = await scene.run();
    expect(report.users[0]?.skippedProjects).toEqual([{ project: 'mail-alice', reason: 'not_permitted' }]);
    expect(report.totals.written).toBe(1);
    expect(report.complete).toBe(false);
    expect(scene.predecessor.roles()).toEqual(before);
    expect(scene.predecessor.granted).toEqual([]);
  });

  it('reads with roles that were given by hand where it has no key for the tokens of users', async () => {
    const { identity } = scene.predecessor.fake;
    scene.project('alice', 'notes', { k: 'v' }).members.set(identity.id, 'viewer');
    scene.project('alice', 'mail', { k: 'v' });
    const report = await scene.run({ withoutKey: true });
    expect(report.totals.written).toBe(1);
    expect(report.users[0]?.skippedProjects).toEqual([{ project: 'mail-alice', reason: 'not_permitted' }]);
    expect(scene.predecessor.roles()).toHaveLength(1);
  });

  it('skips a project whose member refuses the role, and is quick about a wrong key', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    const startMs = Date.now();
    const report = await scene.run({ jwtSecret: 'another key' });
    expect(report.users[0]?.skippedProjects).toEqual([{ project: 'notes-alice', reason: 'role_refused' }]);
    expect(Date.now() - startMs).toBeLessThan(2_000);
  });

  it('tells of environments that have no place here, and of values that have none', async () => {
    const project = scene.project('alice', 'notes', { k: '<hidden-by-infisical>', nul: 'a\0b' });
    scene.predecessor.fake.world.addEnvironment(project, 'qa', 'QA');
    const { users, complete, clean } = await scene.run();
    expect([complete, clean]).toEqual([true, false]);
    const [user] = users;
    expect(user?.skippedEnvironments).toEqual([{ workspace: 'notes', environment: 'qa' }]);
    expect(user?.skippedSecrets.map(({ name, reason }) => [name, reason])).toEqual([
      ['k', 'value_hidden'],
      ['nul', 'value_not_allowed'],
    ]);
  });
});

describe('a migration that cannot go on', () => {
  it('takes its roles away where the store fails, and can be continued', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    const time = new HurriedTime();
    const create = scene.store.create.bind(scene.store);
    scene.store.create = () => Promise.reject(new StoreUnavailable());
    const report = await scene.run({ time });
    scene.store.create = create;
    expect(report).toMatchObject({ complete: false, rolesLeft: [] });
    expect(report.failure).toMatch(/^The store does not take the secrets: /);
    expect(scene.predecessor.roles()).toEqual([]);
    await expect(scene.run()).rejects.toThrow('--resume goes on with it');
    expect((await scene.run({ resume: true })).totals.written).toBe(1);
  });

  it('goes on with other secrets where the store refuses one', async () => {
    scene.project('alice', 'notes', { k: 'v', l: 'v' });
    const create = scene.store.create.bind(scene.store);
    scene.store.create = (scope, secret) =>
      secret.name === 'k' ? Promise.reject(new QuotaExceeded('user_secrets', 1, 1)) : create(scope, secret);
    const report = await scene.run();
    expect(report.totals).toMatchObject({ read: 2, written: 1, skipped: 1 });
    expect(report.users[0]?.skippedSecrets[0]).toMatchObject({ name: 'k', reason: 'quota_exceeded' });
  });

  it.each([
    ['before', 1, []],
    ['once the secrets are written', 2, ['k', 'l']],
  ])('skips an environment that our store cannot list %s, and goes on', async (_title, from, created) => {
    scene.project('alice', 'large', { k: 'v', l: 'v' });
    scene.project('bob', 'notes', { k: 'v' });
    const list = scene.store.list.bind(scene.store);
    let lists = 0;
    scene.store.list = (scope) => {
      const isLarge = scope.workspace === 'large' && scope.environment === 'prod';
      return isLarge && ++lists >= from ? Promise.reject(new ListTooLarge()) : list(scope);
    };
    const report = await scene.run();
    scene.store.list = list;
    expect(report).toMatchObject({
      complete: true,
      clean: false,
      totals: { read: 3, written: 1, skipped: 2 },
    });
    expect(lists).toBe(from);
    expect(report.users[0]?.skippedSecrets.map(({ name, reason }) => `${name} ${reason}`)).toEqual([
      'k list_too_large',
      'l list_too_large',
    ]);
    const stored = await scene.stored(['alice', 'large'], ['bob', 'notes']);
    expect(stored).toEqual({
      ...Object.fromEntries(created.map((name) => [`alice large prod ${name}`, 'v'])),
      'bob notes prod k': 'v',
    });
  });

  it('notes again how far it is once its state can be written again', async () => {
    const options = { source: 'a', target: 'b', dryRun: false, resume: false };
    const state = await MigrationState.open(scene.stateFile, options);
    mkdirSync(`${scene.stateFile}.new`);
    await expect(state.setGranted('p', true)).rejects.toThrow('The state of the run cannot be written');
    await expect(state.setGranted('q', true)).rejects.toThrow('The state of the run cannot be written');
    rmdirSync(`${scene.stateFile}.new`);
    await state.setGranted('p', false);
    expect(JSON.parse(readFileSync(scene.stateFile, 'utf8'))).toMatchObject({ granted: ['q'] });
    mkdirSync(`${scene.stateFile}.new`);
    await expect(state.setGranted('q', false)).rejects.toThrow('The state of the run cannot be written');
    await state.remove();
    expect(existsSync(scene.stateFile)).toBe(false);
  });

  it('tells which roles it could not take away, and the next run takes them back first', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    const template = '/api/v2/workspace/{projectId}/identity-memberships/{identityId}';
    const { fake } = scene.predecessor;
    fake.fail({ method: 'DELETE', template, times: 5, fault: { kind: 'answer', status: 503, body: {} } });
    const report = await scene.run({ time: new HurriedTime() });
    expect(report).toMatchObject({ complete: false, rolesLeft: ['notes-alice'], totals: { written: 1 } });
    expect(scene.predecessor.roles()).toHaveLength(1);
    const next = await scene.run({ resume: true });
    expect(next).toMatchObject({ complete: true, rolesLeft: [], totals: { read: 1, written: 1 } });
    expect(scene.predecessor.roles()).toEqual([]);
  });

  it('ends soon after an interruption with its roles taken away, and reads no environment twice when it goes on', async () => {
    for (const workspace of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
      scene.project('alice', workspace, { k: 'v' });
    const interruption = new AbortController();
    const report = await scene.run({
      signal: interruption.signal,
      moved: (environments) => environments === 7 && interruption.abort(),
    });
    expect(report.failure).toBe('The run was interrupted; --resume goes on with it.');
    expect(scene.predecessor.roles()).toEqual([]);
    const listed = () => scene.predecessor.fake.count('GET', '/api/v3/secrets/raw');
    const done = Object.values(JSON.parse(readFileSync(scene.stateFile, 'utf8')).done as object)
      .map((environments: object) => Object.keys(environments).length)
      .reduce((a, b) => a + b, 0);
    const before = listed();
    const next = await scene.run({ resume: true });
    expect(listed() - before).toBe(24 - done);
    expect(next).toMatchObject({ complete: true, totals: { projects: 8, read: 8 } });
    expect(next.totals.written + next.totals.equal).toBe(8);
  });

  it('notes no value in its state, which only its owner may read', async () => {
    scene.project('alice', 'notes', { k: CANARY });
    scene.project('alice', 'mail', { k: CANARY });
    let seen = '';
    let mode = 0;
    await scene.run({
      moved: () => {
        seen += readFileSync(scene.stateFile, 'utf8');
        mode = statSync(scene.stateFile).mode & 0o777;
      },
    });
    expect(seen).toContain('"granted":[');
    expect(seen).not.toContain(CANARY);
    expect(seen).not.toContain(scene.predecessor.jwtSecret);
    expect(mode).toBe(0o600);
  });

  it('notes a role before it is given, so that a run that is killed between the two takes it back', async () => {
    const project = scene.project('alice', 'notes', { k: 'v' });
    const noted: boolean[] = [];
    const { granted } = scene.predecessor;
    granted.push = (...ids) => {
      const state = JSON.parse(readFileSync(scene.stateFile, 'utf8')) as { granted: string[] };
      noted.push(ids.every((id) => state.granted.includes(id)));
      return ids.length;
    };
    await scene.run();
    expect(noted).toEqual([true]);
    // As such a run leaves it.
    project.members.set(scene.predecessor.fake.identity.id, 'viewer');
    const left = {
      version: 1,
      source: scene.predecessor.fake.url,
      target: 'a store',
      dryRun: false,
      granted: [project.id],
      done: {},
    };
    writeFileSync(scene.stateFile, JSON.stringify(left));
    expect((await scene.run({ resume: true })).totals).toMatchObject({ read: 1, equal: 1 });
    expect(scene.predecessor.roles()).toEqual([]);
  });

  it('does not go on with another store, to which nothing was copied yet', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    const interruption = new AbortController();
    await scene.run({ signal: interruption.signal, moved: () => interruption.abort() });
    await expect(scene.run({ resume: true, targetName: 'another' })).rejects.toThrow('with another target');
  });

  it('copies anew what it copied for another user before the interruption', async () => {
    scene.project('a-b', 'x', { k: 'v' });
    const interruption = new AbortController();
    await scene.run({
      signal: interruption.signal,
      moved: (environments) => environments === 3 && interruption.abort(),
    });
    // The account has passed to another user, whose name the project's ends with as well.
    scene.people.set('b', scene.person('a-b'));
    scene.people.delete('a-b');
    const report = await scene.run({ resume: true });
    expect(report.users).toMatchObject([{ user: 'b', read: 1, written: 1 }]);
    expect(await scene.stored(['b', 'x-a'])).toEqual({ 'b x-a prod k': 'v' });
  });

  it('takes a role back although the user was deleted meanwhile', async () => {
    const project = scene.project('alice', 'notes', { k: 'v' });
    scene.project('bob', 'mail', { k: 'v' });
    const interruption = new AbortController();
    await scene.run({ signal: interruption.signal, moved: () => interruption.abort() });
    project.members.set(scene.predecessor.fake.identity.id, 'viewer');
    const state = JSON.parse(readFileSync(scene.stateFile, 'utf8')) as object;
    writeFileSync(scene.stateFile, JSON.stringify({ ...state, granted: [project.id] }));
    scene.deleted.add('alice');
    expect(await scene.run({ resume: true })).toMatchObject({ rolesLeft: [] });
    expect(scene.predecessor.roles()).toEqual([]);
  });

  it('refuses a state that it did not write', async () => {
    const state = { version: 1, source: scene.predecessor.fake.url, target: 'a store', dryRun: false };
    for (const done of [{ p: { prod: { read: 1 } } }, { p: { prod: null } }, null, 'done']) {
      writeFileSync(scene.stateFile, JSON.stringify({ ...state, granted: [], done }));
      await expect(scene.run({ resume: true })).rejects.toThrow('holds no state of a run');
    }
  });

  it('prints no character of a name that a terminal obeys', async () => {
    const [csi, rightToLeft, tag] = ['\u009b', '\u202e', '\u{e0041}'];
    scene.predecessor.addProject(`${csi}31m${rightToLeft}\u2028`, {
      ...scene.predecessor.addPerson(`\x1b[2J\x7f${tag}@example.org`),
    });
    const text = reportText(await scene.run());
    expect(text).toContain(
      '"\\u009b31m\\u202e\\u2028" of nobody (user_deleted, "\\u001b[2J\\u007f\\udb40\\udc41@example.org")',
    );
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  });

  it('gives a role anew after a dry run that was interrupted, and copies then', async () => {
    scene.project('alice', 'notes', { k: 'v' });
    const interruption = new AbortController();
    await scene.run({ dryRun: true, signal: interruption.signal, moved: () => interruption.abort() });
    expect((await scene.run({ resume: true })).totals).toMatchObject({ read: 1, written: 1 });
  });
});

/** Pauses take no time. */
class HurriedTime extends MonotonicTime {
  readonly #time = new SystemMonotonicTime();
  nowMs(): number {
    return this.#time.nowMs();
  }
  after(ms: number, run: () => void): () => void {
    return this.#time.after(ms > 20_000 ? ms : Math.min(ms, 1), run);
  }
}
