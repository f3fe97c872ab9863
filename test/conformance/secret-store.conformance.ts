import { DomainError, type Reason } from '../../src/errors/domain-error';
import { type Precondition, ENVIRONMENTS, MAX_VALUE_BYTES, type SecretScope } from '../../src/secrets/secret';
import { PreconditionFailed } from '../../src/errors/store-errors';
import type { SecretStore, CompleteSecretStore } from '../../src/secrets/secret-store';
import { StoreClient } from '../support/store-client';

/** What a suite needs of a store: a fresh one. */
export interface StoreUnderTest<S extends SecretStore = CompleteSecretStore> {
  open(): Promise<{ store: S; dispose(): Promise<void> }>;
}

export const ODD_NAMES = [
  'a', 'KEY', 'key', 'a.b.c', 'a b', '-dash', '.hidden', '..three..', '1ABC', 'a%b', 'a%2Fb', 'A+B', 'A=B', 'A#B',
  'A?B', 'A&B', 'A\\B', `A"B'C`, '${X}', 'raw', 'batch', 'ключ_日本', 'K🚀', 'constructor', '__proto__', 'toString',
  'N'.repeat(100), 'é', 'e\u0301', 'a:b', 'a/b', '../x', 'integration-account:space:alice', 'osp.v1.a~3Ab', 'osp.v1.a', 'a~3Ab',
  'move', 'osp.v1.move', ':', `:${'n'.repeat(90)}`,
]; // prettier-ignore

export const ODD_VALUES: Readonly<Record<string, string>> = {
  empty: '',
  'one space': ' ',
  'leading white space': '  v',
  'trailing white space': 'v  ',
  'tabs around': '\tv\t',
  newline: '\n',
  'trailing newline': 'v\n',
  'two trailing newlines': 'v\n\n',
  'leading newlines': '\n\nv',
  'many newlines': 'a\n\n\n\nb\n\n\n',
  'spaces then newline': '  v  \n',
  CRLF: 'a\r\nb\r\n',
  'trailing carriage return': 'v\r',
  'no-break space around': '\u00a0v\u00a0',
  'byte order mark': '\ufeffv',
  'zero width': '\u200bv\u200b',
  'line separators': '\u2028v\u2029',
  emoji: '👩‍👩‍👧‍👦 🚀 🇩🇪',
  'combining marks': 'e\u0301 é',
  'control characters': 'a\u0001\u001f\u007fb',
  reference: '${REF}',
  'nested reference': '${dev.folder.REF} and ${OTHER}',
  'handlebars and shell': '{{ .Values.x }} $(id) `id` $HOME',
  percent: '100% %20 %zz',
  quotes: `"double" 'single' \\"escaped\\"`,
  json: '{"a":[1,2,{"b":"c\\n"}]}',
  base64: Buffer.from('binary\u0001stuff').toString('base64'),
  'private key in PEM':
    '-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAq7BFUpkGp3+LQmlQ\n-----END PRIVATE KEY-----\n',
  html: '<b onclick="x()">&amp;</b>',
  backslashes: '\\\\ \\n \\u0041',
  'looks masked': '******',
  'looks hidden': '<hidden-by-infisical>',
  '512 KiB of letters': 'x'.repeat(MAX_VALUE_BYTES),
  '512 KiB of control characters': '\u0001'.repeat(MAX_VALUE_BYTES),
  '512 KiB of four-byte characters': '🚀'.repeat(MAX_VALUE_BYTES / 4),
  '512 KiB of quotes with white space around': ` ${'"'.repeat(MAX_VALUE_BYTES - 2)} `,
};

const at = (
  user: string,
  workspace: string,
  environment: SecretScope['environment'] = 'prod',
): SecretScope => ({
  user,
  workspace,
  environment,
});

/** What a call ended with: its reason, or the fact that it succeeded. */
export async function outcome(call: Promise<unknown>): Promise<Reason | 'done'> {
  try {
    await call;
    return 'done';
  } catch (error: unknown) {
    if (error instanceof DomainError) return error.reason;
    throw error;
  }
}

/** A precondition that only this value meets. */
const isStill =
  (value: string): Precondition =>
  (current) => {
    if (current.value !== value) throw new PreconditionFailed(current.name);
  };

/** The contracts of SecretStore and UserWorkspaces. */
export function describeSecretStore(title: string, subject: StoreUnderTest): void {
  describeSecretOperations(title, subject);
  describeUserWorkspaces(title, subject);
}

/** The contract of SecretStore, sentence by sentence. */
export function describeSecretOperations(title: string, subject: StoreUnderTest<SecretStore>): void {
  describe(`${title} keeps the contract of SecretStore`, () => {
    let store: StoreClient<SecretStore>;
    let dispose: () => Promise<void>;
    beforeAll(async () => {
      const opened = await subject.open();
      store = new StoreClient(opened.store);
      dispose = () => opened.dispose();
    });
    afterAll(async () => dispose());
    let turn = 0;
    /** A workspace of its own for each test. */
    const fresh = (environment: SecretScope['environment'] = 'prod') =>
      at('alice', `ws${++turn}`, environment);

    it('answers a ping', async () => {
      await expect(store.ping()).resolves.toBeUndefined();
    });

    it('retrieves what was created', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'v' });
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'v' });
    });

    it('refuses a second create and leaves the old value', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'old' });
      expect(await outcome(store.create(scope, { name: 'k', value: 'new' }))).toBe('SECRET_ALREADY_EXISTS');
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'old' });
    });

    it('updates what exists', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'old' });
      await store.update(scope, { name: 'k', value: 'new' });
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'new' });
    });

    it('never creates by an update', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'other', value: 'v' });
      expect(await outcome(store.update(scope, { name: 'k', value: 'v' }))).toBe('SECRET_NOT_FOUND');
      expect(await store.list(scope)).toEqual([{ name: 'other', value: 'v' }]);
    });

    it('deletes once, and a second delete is told apart', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'v' });
      await store.delete(scope, 'k');
      expect(await outcome(store.delete(scope, 'k'))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.retrieve(scope, 'k'))).toBe('SECRET_NOT_FOUND');
      await store.create(scope, { name: 'k', value: 'again' });
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'again' });
    });

    it('writes and deletes only where the precondition holds for what the store has', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'v1' });
      await store.create(scope, { name: 'other', value: 'o' });
      expect((await store.retrieve(scope, 'k')).value).toBe('v1');
      expect(await outcome(store.update(scope, { name: 'k', value: 'lost' }, isStill('v0')))).toBe(
        'PRECONDITION_FAILED',
      );
      expect(await outcome(store.delete(scope, 'k', isStill('v0')))).toBe('PRECONDITION_FAILED');
      expect(await store.list(scope)).toEqual([
        { name: 'k', value: 'v1' },
        { name: 'other', value: 'o' },
      ]);
      await store.update(scope, { name: 'k', value: 'v2' }, isStill('v1'));
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'v2' });
      await store.delete(scope, 'k', isStill('v2'));
      expect(await store.list(scope)).toEqual([{ name: 'other', value: 'o' }]);
    });

    it('asks no precondition of a secret that does not exist', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'other', value: 'o' });
      const never = () => {
        throw new Error('was asked');
      };
      expect(await outcome(store.update(scope, { name: 'k', value: 'v' }, never))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.delete(scope, 'k', never))).toBe('SECRET_NOT_FOUND');
    });

    it('lets one of many writers with the same precondition write', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'v' });
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          outcome(store.update(scope, { name: 'k', value: `${i}` }, isStill('v'))),
        ),
      );
      expect(outcomes.filter((o) => o === 'done')).toHaveLength(1);
      expect(outcomes.filter((o) => o === 'PRECONDITION_FAILED')).toHaveLength(9);
      expect((await store.retrieve(scope, 'k')).value).toBe(`${outcomes.indexOf('done')}`);
    });

    it('says not found, or an empty list, for a workspace that was never written', async () => {
      const scope = fresh();
      expect(await outcome(store.retrieve(scope, 'k'))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.update(scope, { name: 'k', value: 'v' }))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.delete(scope, 'k'))).toBe('SECRET_NOT_FOUND');
      expect(await store.list(scope)).toEqual([]);
    });

    it('lists by name, ascending by code unit', async () => {
      const scope = fresh();
      const names = ['b', 'a', 'B', 'A', '_', 'é', '🚀', '\uffee', '10', '9'];
      for (const name of names) await store.create(scope, { name, value: `v-${name}` });
      const sorted = [...names].sort((x, y) => (x < y ? -1 : 1));
      expect((await store.list(scope)).map((secret) => secret.name)).toEqual(sorted);
      expect(await store.list(scope)).toEqual(sorted.map((name) => ({ name, value: `v-${name}` })));
    });

    it('keeps the four environments apart, `test` included', async () => {
      const { user, workspace } = fresh();
      for (const env of ENVIRONMENTS)
        await store.create(at(user, workspace, env), { name: 'k', value: `in ${env}` });
      for (const env of ENVIRONMENTS) {
        expect(await store.list(at(user, workspace, env))).toEqual([{ name: 'k', value: `in ${env}` }]);
      }
      await store.delete(at(user, workspace, 'dev'), 'k');
      expect(await store.list(at(user, workspace, 'dev'))).toEqual([]);
      expect(await store.list(at(user, workspace, 'test'))).toEqual([{ name: 'k', value: 'in test' }]);
    });

    it('keeps tenants apart whose names join to the same string', async () => {
      const scopes = [
        at('b-c', 'a'), at('c', 'a-b'), at('a-b', 'c'), at('a', 'b-c'),
        at('u1', 'x'), at('u', '1x'), at('U1', 'x'), at('u1', 'X'), at('u.1', 'x'), at('u', '1.x'),
      ]; // prettier-ignore
      for (const scope of scopes)
        await store.create(scope, { name: 'k', value: `${scope.user}|${scope.workspace}` });
      for (const scope of scopes) {
        expect(await store.list(scope)).toEqual([{ name: 'k', value: `${scope.user}|${scope.workspace}` }]);
      }
    });

    it('keeps odd names apart, byte for byte', async () => {
      const scope = fresh();
      for (const name of ODD_NAMES) await store.create(scope, { name, value: `v-${name}` });
      for (const name of ODD_NAMES)
        expect(await store.retrieve(scope, name)).toEqual({ name, value: `v-${name}` });
      for (const name of ODD_NAMES) await store.update(scope, { name, value: `w-${name}` });
      const sorted = [...ODD_NAMES].sort((x, y) => (x < y ? -1 : 1));
      expect(await store.list(scope)).toEqual(sorted.map((name) => ({ name, value: `w-${name}` })));
      for (const name of ODD_NAMES) await store.delete(scope, name);
      expect(await store.list(scope)).toEqual([]);
    });

    it.each(Object.entries(ODD_VALUES))('gives back unchanged: %s', async (_title, value) => {
      const scope = fresh('dev');
      await store.create(scope, { name: 'created', value });
      await store.create(scope, { name: 'updated', value: 'before' });
      await store.update(scope, { name: 'updated', value });
      // Compared as booleans: a failure should not print half a megabyte.
      expect((await store.retrieve(scope, 'created')).value === value).toBe(true);
      expect((await store.list(scope)).map((secret) => secret.value === value)).toEqual([true, true]);
    });

    it('lets exactly one of 50 parallel creates of one name win', async () => {
      const scope = fresh();
      const calls = Array.from({ length: 50 }, (_, i) =>
        outcome(store.create(scope, { name: 'k', value: `v${i}` })),
      );
      const outcomes = await Promise.all(calls);
      expect(outcomes.filter((o) => o === 'done')).toHaveLength(1);
      expect(outcomes.filter((o) => o === 'SECRET_ALREADY_EXISTS')).toHaveLength(49);
      expect(await store.list(scope)).toEqual([{ name: 'k', value: `v${outcomes.indexOf('done')}` }]);
    });

    it('stores all of 50 parallel first creates in a new workspace', async () => {
      const { user, workspace } = fresh();
      const scopes = ENVIRONMENTS.map((env) => at(user, workspace, env));
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.create(scopes[i % 4]!, { name: `k${i}`, value: `v${i}` })),
      );
      const stored = (await Promise.all(scopes.map((scope) => store.list(scope)))).flat();
      expect(new Map(stored.map((s) => [s.name, s.value]))).toEqual(
        new Map(Array.from({ length: 50 }, (_, i) => [`k${i}`, `v${i}`])),
      );
    });

    it('lets exactly one of 20 parallel deletes win', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: 'v' });
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome(store.delete(scope, 'k'))));
      expect(outcomes.filter((o) => o === 'done')).toHaveLength(1);
      expect(outcomes.filter((o) => o === 'SECRET_NOT_FOUND')).toHaveLength(19);
    });

    it('shows a resolved write to the next read', async () => {
      const scope = fresh();
      await store.create(scope, { name: 'k', value: '0' });
      for (let i = 1; i <= 20; i++) {
        await store.update(scope, { name: 'k', value: `${i}` });
        expect((await store.retrieve(scope, 'k')).value).toBe(`${i}`);
      }
    });
  });
}

/** The contract of UserWorkspaces, sentence by sentence. */
export function describeUserWorkspaces(title: string, subject: StoreUnderTest): void {
  describe(`${title} keeps the contract of UserWorkspaces`, () => {
    let store: StoreClient;
    let dispose: () => Promise<void>;
    beforeAll(async () => {
      const opened = await subject.open();
      store = new StoreClient(opened.store);
      dispose = () => opened.dispose();
    });
    afterAll(async () => dispose());
    let turn = 0;

    const removeAllOf = async (user: string): Promise<number> => {
      const found = await store.workspacesOf(user);
      for (const workspace of found) await store.removeWorkspace(workspace);
      return found.length;
    };

    it('removes all workspaces of a user, in all environments, and nothing of users with names alike', async () => {
      const name = `gone${++turn}`;
      const others = [
        at(`${name}-x`, 'ws'), at(name.slice(0, -1), 'ws'), at(`${name}/x`, 'ws'), at(`x-${name}`, 'ws'),
        at(name.toUpperCase(), 'ws'), at(`${name} `, 'ws'), at('ws', name), at(`${name}ws`, '1'), at(`${name}:ws`, 'ws'),
      ]; // prettier-ignore
      const own = ['ws', 'x-ws', 'WS'].flatMap((ws) => ENVIRONMENTS.map((env) => at(name, ws, env)));
      for (const scope of [...others, ...own]) await store.create(scope, { name: 'k', value: scope.user });
      expect(await removeAllOf(name)).toBe(3);
      for (const scope of own) {
        expect(await store.list(scope)).toEqual([]);
        expect(await outcome(store.retrieve(scope, 'k'))).toBe('SECRET_NOT_FOUND');
      }
      for (const scope of others) expect(await store.list(scope)).toEqual([{ name: 'k', value: scope.user }]);
      expect(await removeAllOf(name)).toBe(0);
    });

    it('finds no workspaces of a user who never had any', async () => {
      await store.create(at(`somebody${++turn}`, 'ws'), { name: 'k', value: 'v' });
      expect(await store.workspacesOf(`nobody${++turn}`)).toEqual([]);
    });

    it('finds a workspace also when no secret is left in it', async () => {
      const scope = at(`emptied${++turn}`, 'ws');
      await store.create(scope, { name: 'k', value: 'v' });
      await store.delete(scope, 'k');
      expect(await removeAllOf(scope.user)).toBe(1);
      expect(await store.workspacesOf(scope.user)).toEqual([]);
    });

    it('makes a removed workspace anew, and leaves it when the old one is removed again', async () => {
      const scope = at(`back${++turn}`, 'ws');
      await store.create(scope, { name: 'old', value: 'v' });
      const [before] = await store.workspacesOf(scope.user);
      await store.removeWorkspace(before!);
      await store.create(scope, { name: 'new', value: 'v' });
      await store.removeWorkspace(before!);
      expect(await store.list(scope)).toEqual([{ name: 'new', value: 'v' }]);
      expect(await store.workspacesOf(scope.user)).toHaveLength(1);
    });

    it('removes once what is removed by several at once, and loses no write that was acknowledged afterwards', async () => {
      const scope = at(`raced${++turn}`, 'ws');
      await store.create(scope, { name: 'k0', value: 'v' });
      const [found] = await store.workspacesOf(scope.user);
      const reads = Array.from({ length: 10 }, () => outcome(store.retrieve(scope, 'k0')));
      await Promise.all(Array.from({ length: 5 }, () => store.removeWorkspace(found!)));
      await Promise.all(reads);
      await store.create(scope, { name: 'k1', value: 'v' });
      await Promise.all(Array.from({ length: 5 }, () => store.removeWorkspace(found!)));
      expect(await store.list(scope)).toEqual([{ name: 'k1', value: 'v' }]);
    });
  });
}
