import { parseSysData } from '../../src/authz/sys-data';
import { grantSet, unitedGrants } from '../../src/authz/grant';

const PROVIDER = { dataType: 'secret', group: 'secret.infisical', version: 'v1' };
const stated = (...ops: readonly string[]) => {
  const read = parseSysData([{ ...PROVIDER, ops }], 'app');
  if ('refused' in read) throw new Error(read.refused);
  return grantSet(read.grants);
};

describe('grantSet', () => {
  it('returns the same set for all installations that state the same grants', () => {
    const ops = ['RetrieveSecret?workspace=w', 'ListSecret'];
    expect(stated(...ops)).toBe(stated(...ops));
    expect([...stated(...ops)]).toEqual(['RetrieveSecret?workspace=w', 'ListSecret?workspace=app']);
  });

  it('returns another set where an operation, a workspace or the number of grants differs', () => {
    const all = [
      stated('RetrieveSecret?workspace=w'),
      stated('ListSecret?workspace=w'),
      stated('RetrieveSecret?workspace=v'),
      stated('RetrieveSecret?workspace=w', 'RetrieveSecret?workspace=v'),
      stated(),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect([...(all[3] ?? [])]).toEqual(['RetrieveSecret?workspace=w', 'RetrieveSecret?workspace=v']);
    expect(all[4]?.size).toBe(0);
  });

  it('compiles the grants of an app that states more than the cache can hold', () => {
    const grants = Array.from({ length: 80_000 }, (_, at) => ({
      operation: 'RetrieveSecret' as const,
      workspace: `${'w'.repeat(30)}${at}`,
    }));
    expect(grantSet(grants).size).toBe(grants.length);
  });

  it('keeps sets apart whose keys join to the same text', () => {
    const operation = 'ListSecret';
    const two = grantSet([{ operation, workspace: 'a' }, { operation, workspace: 'b' }]); // prettier-ignore
    expect(grantSet([{ operation, workspace: 'aListSecret?workspace=b' }])).not.toBe(two);
  });
});

describe('unitedGrants', () => {
  const app = (grants: readonly string[], pending?: readonly string[]) => ({
    app: 'notes',
    user: 'alice',
    grants: new Set(grants),
    ...(pending && { pending: new Set(pending) }),
  });

  it('returns the same sets whichever resource comes first, so that replicas and installations share them', () => {
    const [one, other] = [app(['b', 'c'], ['x', 'y']), app(['a'], ['w', 'b'])];
    const united = unitedGrants(one, other);
    expect(united).toEqual({ grants: new Set(['a', 'b', 'c']), pending: new Set(['w', 'x', 'y']) });
    expect(unitedGrants(other, one).grants).toBe(united.grants);
    expect(unitedGrants(other, one).pending).toBe(united.pending);
  });

  it('states nothing as pending where neither does', () => {
    expect(unitedGrants(app(['a']), app(['b']))).toEqual({ grants: new Set(['a', 'b']) });
  });
});
