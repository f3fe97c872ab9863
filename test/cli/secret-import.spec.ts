import { errorOf } from '../../src/client/errors';
import { SecretVault } from '../../src/client/index';
import { countedOutcomes, importReport, importSecrets } from '../../src/cli/files/secret-import';
import type { SecretOperation } from '../../src/authz/grant';
import { ListTooLarge, StoreOutcomeUnknown, StoreUnavailable } from '../../src/errors/store-errors';
import type { ListedSecrets, RetrievedSecret } from '../../src/secrets/secret-store';
import type { Secret, SecretScope } from '../../src/secrets/secret';
import { OTMOICLP } from '../support/example-apps';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { MemorySecretStore } from '../support/memory.secret-store';
import { type Service, startService } from '../support/service';
import { userToken } from '../support/tokens';

/** Does with a secret what its name says. */
class TroubledStore extends MemorySecretStore {
  listsFail = false;
  lists: Partial<ListedSecrets> = {};

  override async create(scope: SecretScope, secret: Secret): Promise<void> {
    if (secret.name === 'gone') throw new StoreUnavailable();
    if (secret.name === 'never-stored') throw new StoreOutcomeUnknown();
    // Somebody else is faster.
    if (secret.name.startsWith('raced')) await super.create(scope, { ...secret, value: 'theirs' });
    await super.create(scope, secret);
    if (secret.name === 'stored-unseen') throw new StoreOutcomeUnknown();
  }

  override async retrieve(scope: SecretScope, name: string): Promise<RetrievedSecret> {
    // As the store answers of a value that it cannot show.
    if (name.startsWith('hidden')) throw new StoreUnavailable();
    return super.retrieve(scope, name);
  }

  override async list(scope: SecretScope): Promise<ListedSecrets> {
    if (this.listsFail) throw new ListTooLarge();
    return { ...(await super.list(scope)), ...this.lists };
  }
}

const store = new TroubledStore();
const grants = new FixedGrantSource([]);
let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ store, grantSource: grants });
  token = await userToken('alice', Date.now());
});
afterAll(() => service.close());
beforeEach(() => {
  store.listsFail = false;
  store.lists = {};
});

/** The vault of an app that may do these operations in a workspace which nobody has used before. */
let workspaces = 0;
function vaultWith(...operations: readonly SecretOperation[]): SecretVault {
  const workspace = `w${workspaces++}`;
  grants.set([{ ...OTMOICLP, ops: operations.map((operation) => `${operation}?workspace=${workspace}`) }]);
  const { appKey, appSecret } = OTMOICLP;
  return new SecretVault({ url: service.url, workspace, appKey, appSecret, userToken: token, maxRetries: 0 });
}
const ALL = ['ListSecret', 'RetrieveSecret', 'CreateSecret', 'UpdateSecret'] as const;
const named = (...names: readonly string[]) => names.map((name) => ({ name, value: 'mine' }));
const outcomes = async (vault: SecretVault, names: readonly string[], overwrites = false, isDryRun = false) =>
  (await importSecrets(vault, named(...names), { overwrites, isDryRun })).map(
    ({ name, outcome, reason }) => `${name} ${outcome}${reason === undefined ? '' : ` ${reason}`}`,
  );

describe('an import', () => {
  it('reports each failure, goes on after one that concerns a single secret, and is safe to run again', async () => {
    const vault = vaultWith(...ALL);
    const names = ['a', 'never-stored', 'stored-unseen', 'b'];
    expect(await outcomes(vault, names)).toEqual([
      'a created',
      'never-stored failed STORE_OUTCOME_UNKNOWN',
      'stored-unseen created',
      'b created',
    ]);
    expect(await outcomes(vault, names)).toEqual([
      'a same',
      'never-stored failed STORE_OUTCOME_UNKNOWN',
      'stored-unseen same',
      'b same',
    ]);
  });

  it('tries no more where the service is gone, and names what was not tried', async () => {
    expect(await outcomes(vaultWith(...ALL), ['a', 'gone', 'b', 'c'])).toEqual([
      'a created',
      'gone failed STORE_UNAVAILABLE',
      'b not-tried STORE_UNAVAILABLE',
      'c not-tried STORE_UNAVAILABLE',
    ]);
  });

  it('leaves what somebody else creates meanwhile, and overwrites it where that is asked', async () => {
    const vault = vaultWith(...ALL);
    expect(await outcomes(vault, ['raced'])).toEqual(['raced left']);
    expect(await vault.retrieve('raced')).toBe('theirs');
    expect(await outcomes(vault, ['raced-too'], true)).toEqual(['raced-too changed']);
    expect(await vault.retrieve('raced-too')).toBe('mine');
  });

  it('reads secret by secret where the list is refused or too large, and does without where it may not read', async () => {
    const unlisted = vaultWith('RetrieveSecret', 'CreateSecret');
    await unlisted.create('a', 'mine');
    await unlisted.create('b', 'theirs');
    expect(await outcomes(unlisted, ['a', 'b', 'c'])).toEqual(['a same', 'b left', 'c created']);
    const large = vaultWith(...ALL);
    await large.create('a', 'mine');
    store.listsFail = true;
    expect(await outcomes(large, ['a', 'b'])).toEqual(['a same', 'b created']);
    const blind = vaultWith('CreateSecret');
    await blind.create('a', 'mine');
    expect(await outcomes(blind, ['a', 'b'])).toEqual(['a left', 'b created']);
    await expect(outcomes(blind, ['a'], false, true)).rejects.toMatchObject({ reason: 'NOT_GRANTED' });
  });

  it('reads past one value that the store cannot show, and ends where it is the store that fails', async () => {
    const unlisted = vaultWith('RetrieveSecret', 'CreateSecret', 'UpdateSecret');
    await unlisted.create('hidden', 'theirs');
    expect(await outcomes(unlisted, ['a', 'hidden', 'c'], false)).toEqual([
      'a created',
      'hidden left',
      'c created',
    ]);
    expect(await outcomes(unlisted, ['a', 'hidden', 'd'], true, true)).toEqual([
      'a same',
      'hidden changed',
      'd created',
    ]);
    expect(await outcomes(unlisted, ['hidden'], true)).toEqual(['hidden changed']);
    const twice = outcomes(unlisted, ['hidden', 'hidden-too', 'e']);
    await expect(twice).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  });

  it('tries no more after a write of unknown outcome where the app may not read', async () => {
    expect(await outcomes(vaultWith('CreateSecret'), ['a', 'never-stored', 'b'])).toEqual([
      'a created',
      'never-stored failed STORE_OUTCOME_UNKNOWN',
      'b not-tried STORE_OUTCOME_UNKNOWN',
    ]);
  });

  it('keeps its report where the file of a credential cannot be read in the middle', async () => {
    const vault = vaultWith(...ALL);
    const create = vault.create.bind(vault);
    jest.spyOn(vault, 'create').mockImplementation(async (name, value) => {
      if (name === 'b') throw Object.assign(new Error(), { code: 'ENOENT', path: '/token', syscall: 'open' });
      await create(name, value);
    });
    expect(await importSecrets(vault, named('a', 'b', 'c'), { overwrites: false, isDryRun: false })).toEqual([
      { name: 'a', outcome: 'created' },
      { name: 'b', outcome: 'failed', message: '/token cannot be used: ENOENT.' },
      { name: 'c', outcome: 'not-tried', message: '/token cannot be used: ENOENT.' },
    ]);
  });

  it.each([false, true])(
    'tries no more after a write of unknown outcome that nobody can confirm (overwrites: %s)',
    async (overwrites) => {
      const vault = vaultWith(...ALL);
      for (const name of ['b', 'c']) if (overwrites) await vault.create(name, 'theirs');
      const unknown = errorOf('STORE_OUTCOME_UNKNOWN', 'no answer');
      jest.spyOn(vault, overwrites ? 'put' : 'create').mockRejectedValue(unknown);
      jest.spyOn(vault, 'getOr').mockRejectedValue(errorOf('UNREACHABLE', 'no answer'));
      expect(await outcomes(vault, ['b', 'c'], overwrites)).toEqual([
        'b failed STORE_OUTCOME_UNKNOWN',
        'c not-tried STORE_OUTCOME_UNKNOWN',
      ]);
    },
  );

  it('stores nothing in a dry run', async () => {
    const vault = vaultWith(...ALL);
    await vault.create('a', 'theirs');
    expect(await outcomes(vault, ['a', 'b'], true, true)).toEqual(['a changed', 'b created']);
    expect(await vault.list()).toEqual([{ name: 'a', value: 'theirs' }]);
  });

  it('leaves a secret whose value the store cannot show, of which a list tells the name', async () => {
    const vault = vaultWith(...ALL);
    await vault.create('odd', 'theirs');
    store.lists = { secrets: [], unreadable: ['odd'] };
    const unreadable: string[] = [];
    expect(await vault.list({ onUnreadable: (names) => unreadable.push(...names) })).toEqual([]);
    expect(unreadable).toEqual(['odd']);
    for (const isDryRun of [true, false])
      expect(await outcomes(vault, ['odd'], false, isDryRun)).toEqual(['odd left']);
    for (const isDryRun of [true, false])
      expect(await outcomes(vault, ['odd'], true, isDryRun)).toEqual(['odd changed']);
  });

  it('is reported in one line for each secret, whatever a server says of it', () => {
    const message = 'no\r\ncreated b\u2028\u001b[2J';
    expect(importReport([{ name: 'a', outcome: 'failed', reason: 'INTERNAL', message }], false)).toBe(
      'failed a (INTERNAL: no\ufffd\ufffdcreated b\ufffd\ufffd[2J)\n',
    );
  });

  it('counts every outcome', () => {
    const results = [{ name: 'a', outcome: 'created' } as const, { name: 'b', outcome: 'created' } as const];
    const none = { changed: 0, same: 0, left: 0, failed: 0, 'not-tried': 0 };
    expect(countedOutcomes(results)).toEqual({ created: 2, ...none });
  });
});
