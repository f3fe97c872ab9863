import { DomainError } from '../../src/errors/domain-error';
import { GrantsService } from '../../src/authz/grants.service';
import { AppSecretsService } from '../../src/secrets/secrets.service';
import type { ListedSecrets } from '../../src/secrets/secret-store';
import { type SecretScope, UNATTENDED } from '../../src/secrets/secret';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { MemorySecretStore } from '../support/memory.secret-store';

/** Holds names whose values cannot be read, in every scope. */
class PartlyUnreadableStore extends MemorySecretStore {
  override async list(scope: SecretScope): Promise<ListedSecrets> {
    return { ...(await super.list(scope)), unreadable: ['b'] };
  }
}

/** Counts the lists that are under way, each for some turns of the event loop; that of `v-0` is slow, that of `w-10` fails. */
class CountingStore extends MemorySecretStore {
  underWay = 0;
  most = 0;
  asked = 0;
  readonly ended: string[] = [];

  override async list(scope: SecretScope): Promise<ListedSecrets> {
    this.asked += 1;
    this.underWay += 1;
    this.most = Math.max(this.most, this.underWay);
    try {
      const needed = scope.workspace === 'v-0' ? 100 : 3;
      for (let turns = 0; turns < needed; turns++) await new Promise(setImmediate);
      if (scope.workspace === 'w-10') throw new DomainError('STORE_UNAVAILABLE', 'down');
      return await super.list(scope);
    } finally {
      this.underWay -= 1;
      this.ended.push(scope.workspace);
    }
  }
}

const ONE = { app: 'one', user: 'alice', ops: ['ListSecret?workspace=desk'] };
const TWO = { app: 'two', user: 'alice', ops: ['ListSecret?workspace=desk', 'CreateSecret?workspace=attic'] };
const MANY = {
  app: 'many',
  user: 'alice',
  ops: Array.from({ length: 50 }, (_, at) => `ListSecret?workspace=v-${at}`),
};
const FAILING = { ...MANY, app: 'failing', ops: MANY.ops.map((op) => op.replace('v-', 'w-')) };
const NONE = { app: 'none', user: 'alice', ops: [] };
const of = (app: string, workspace?: string) => ({
  user: 'alice',
  app,
  ...(workspace !== undefined && { workspace }),
});
const inProd = (workspace: string) => ({ user: 'alice', workspace, environment: 'prod' as const });

describe('the secrets of an app in the Settings app', () => {
  let store: MemorySecretStore;
  let service: AppSecretsService;
  const open = (opened: MemorySecretStore) => {
    store = opened;
    service = new AppSecretsService(
      new GrantsService(new FixedGrantSource([ONE, TWO, NONE, MANY, FAILING])),
      store,
    );
  };
  beforeEach(async () => {
    open(new MemorySecretStore());
    await store.create(inProd('desk'), { name: 'c', value: 'of desk' });
    await store.create(inProd('desk'), { name: 'a', value: 'of desk' });
    await store.create(inProd('attic'), { name: 'z', value: 'of attic' });
    await store.create({ ...inProd('desk'), environment: 'dev' }, { name: 'of-dev', value: 'v' });
    store.calls.splice(0);
  });
  const valueOf = async (workspace: string, name: string) =>
    (await store.retrieve(inProd(workspace), name)).secret.value;
  const write = (app: string, name: string, workspace?: string) =>
    service.update(of(app, workspace), { name, value: 'new' }, UNATTENDED);

  it('are named for every workspace on which it holds a grant, without values and in environment prod alone', async () => {
    expect(await service.names('alice', 'two', UNATTENDED)).toEqual({
      names: [
        { workspace: 'attic', name: 'z' },
        { workspace: 'desk', name: 'a' },
        { workspace: 'desk', name: 'c' },
      ],
    });
    for (const app of ['none', 'not-installed']) expect(await service.names('alice', app, UNATTENDED)).toEqual({ names: [] });
  }); // prettier-ignore

  it('are named in order where a value cannot be read too', async () => {
    open(new PartlyUnreadableStore());
    await store.create(inProd('desk'), { name: 'c', value: 'v' });
    await store.create(inProd('desk'), { name: 'a', value: 'v' });
    const { names } = await service.names('alice', 'one', UNATTENDED);
    expect(names.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('of many workspaces are asked for a few at a time, since each list takes a place of its own at the store', async () => {
    const counting = new CountingStore();
    open(counting);
    await counting.create(inProd('v-40'), { name: 'k', value: 'v' });
    const { names } = await service.names('alice', 'many', UNATTENDED);
    expect(names).toEqual([{ workspace: 'v-40', name: 'k' }]);
    await write('many', 'k');
    expect(await valueOf('v-40', 'k')).toBe('new');
    expect([counting.most, counting.asked]).toEqual([4, 100]);
  });

  it('of many workspaces are named in the same order where a list is slow, which holds up none of the others', async () => {
    const counting = new CountingStore();
    open(counting);
    for (const workspace of ['v-0', 'v-1', 'v-40'])
      await counting.create(inProd(workspace), { name: 'k', value: 'v' });
    const { names } = await service.names('alice', 'many', UNATTENDED);
    expect(names.map(({ workspace }) => workspace)).toEqual(['v-0', 'v-1', 'v-40']);
    expect([counting.ended.length, counting.ended.at(-1)]).toEqual([50, 'v-0']);
  });

  it('are asked for no more once one list has failed', async () => {
    const counting = new CountingStore();
    open(counting);
    expect(await outcome(service.names('alice', 'failing', UNATTENDED))).toBe('STORE_UNAVAILABLE');
    // Those that came before it, in the same turn, were followed by one each.
    const { asked } = counting;
    expect(asked).toBeLessThan(8);
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    expect(counting.asked).toBe(asked);
  });

  it('are there where it holds a grant', () => {
    expect(['one', 'two', 'none', 'not-installed'].map((app) => service.holdsGrant('alice', app))).toEqual([true, true, false, false]); // prettier-ignore
    expect(service.holdsGrant('bob', 'one')).toBe(false);
  });

  it('are explained by its grants; those of an app that is not installed by none', () => {
    expect(service.explain('alice', 'one')).toEqual([
      { workspace: 'desk', operations: ['ListSecret'], sharedWith: ['two'], usable: true },
    ]);
    expect([service.explain('alice', 'none'), service.explain('bob', 'one')]).toEqual([[], []]);
  });

  it('are created in its only workspace, or in the one that is named', async () => {
    await service.create(of('one'), { name: 'new', value: 'v' }, UNATTENDED);
    await service.create(of('two', 'attic'), { name: 'new', value: 'w' }, UNATTENDED);
    expect([await valueOf('desk', 'new'), await valueOf('attic', 'new')]).toEqual(['v', 'w']);
  });

  it('are not created where a workspace must be named, or where it holds no grant', async () => {
    const create = (app: string, workspace?: string) =>
      outcome(service.create(of(app, workspace), { name: 'new', value: 'v' }, UNATTENDED));
    expect(await create('two')).toBe('INVALID_REQUEST');
    expect(await create('one', 'attic')).toBe('NOT_GRANTED');
    expect(await create('none')).toBe('NOT_GRANTED');
    expect(await create('not-installed')).toBe('NOT_GRANTED');
    expect(store.calls).toEqual([]);
  });

  it('are updated and deleted in the one workspace that contains the name', async () => {
    await write('two', 'z');
    expect(await valueOf('attic', 'z')).toBe('new');
    await service.delete(of('two'), 'a', UNATTENDED);
    expect((await service.names('alice', 'two', UNATTENDED)).names.map(({ name }) => name)).toEqual([
      'z',
      'c',
    ]);
  });

  it('are found without a look into its only workspace', async () => {
    await write('one', 'a');
    await service.delete(of('two', 'desk'), 'c', UNATTENDED);
    expect(store.calls).toEqual(['update ["alice","desk","prod"]', 'delete ["alice","desk","prod"]']);
  });

  it('must be named with their workspace where several contain the name', async () => {
    await store.create(inProd('attic'), { name: 'a', value: 'of attic' });
    expect(await outcome(write('two', 'a'))).toBe('INVALID_REQUEST');
    expect(await outcome(service.delete(of('two'), 'a', UNATTENDED))).toBe('INVALID_REQUEST');
    await write('two', 'a', 'desk');
    expect([await valueOf('desk', 'a'), await valueOf('attic', 'a')]).toEqual(['new', 'of attic']);
  });

  it('are not found where no workspace contains the name', async () => {
    expect(await outcome(write('two', 'none'))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(write('one', 'none'))).toBe('SECRET_NOT_FOUND');
  });
});
