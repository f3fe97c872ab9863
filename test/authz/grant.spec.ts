import { parseSysData } from '../../src/authz/sys-data';
import { grantSet } from '../../src/authz/grant';

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
});
