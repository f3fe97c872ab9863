import type { SecretRow } from '../../../src/stores/infisical/secret-codec';
import { distinctRows, preferredRow } from '../../../src/stores/infisical/api/secret-calls';

const row = (id: string, version: number, updatedAtMs = 0): SecretRow => ({
  id,
  name: 'k',
  key: 'k',
  version,
  updatedAtMs,
  stored: `of ${id}`,
});

describe('of duplicate rows, reads return', () => {
  it.each([
    ['the highest version, though another is newer', [row('a', 1, 9), row('b', 2, 1)], 'b'],
    ['of equal versions the latest update', [row('a', 2, 1), row('b', 2, 9)], 'b'],
    [
      'an escaped key before the name as it is',
      [
        { ...row('a', 9), key: 'k' },
        { ...row('b', 1), key: 'osp.v1.k' },
      ],
      'b',
    ],
    [
      'a name with spaces as it is before its escaped key, as writes do',
      [
        { ...row('a', 1), name: 'k l', key: 'k l' },
        { ...row('b', 9), name: 'k l', key: 'osp.v1.k~20l' },
      ],
      'a',
    ],
    ['of equal ones the lowest id', [row('b', 2, 1), row('a', 2, 1), row('c', 2, 1)], 'a'],
  ])('%s, in whatever order they come', (_rule, rows, id) => {
    for (const ordered of [rows, [...rows].reverse()]) {
      expect(preferredRow(ordered)?.id).toBe(id);
      expect(distinctRows(ordered).map((one) => one.id)).toEqual([id]);
    }
  });
});
