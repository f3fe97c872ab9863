import { parseSysData } from '../../src/authz/sys-data';

const OURS = { dataType: 'secret', group: 'secret.infisical', version: 'v1' };
const LIST = { operation: 'ListSecret', workspace: 'desk' };
const OPS = ['ListSecret?workspace=desk'];

describe('parseSysData', () => {
  it('takes the ops of every entry that states our tuple', () => {
    const other = { operation: 'CreateSecret', workspace: 'notes' };
    expect(
      parseSysData(
        [
          { ...OURS, ops: OPS },
          { ...OURS, ops: ['CreateSecret'] },
        ],
        'notes',
      ),
    ).toEqual({
      grants: [LIST, other],
      paths: [
        [0, 'ops', 0],
        [1, 'ops', 0],
      ],
      warnings: [],
    });
  });

  it.each([
    { ...OURS, group: 'secret.vault' },
    { ...OURS, group: 'infisical' },
    { ...OURS, group: ['secret.infisical'] },
    { dataType: OURS.dataType, version: OURS.version },
    {
      dataType: 'legacy_ollama',
      appName: 'ollama',
      svc: 'ollama',
      port: 11434,
      group: 'api.ollama',
      version: 'v2',
    },
  ])('ignores the entry %j of another provider', (entry) => {
    expect(parseSysData([{ ...entry, ops: OPS }], 'notes')).toEqual({ grants: [], paths: [], warnings: [] });
  });

  it.each<[object, string, readonly (string | number)[]]>([
    [{ ...OURS, version: 'v2' }, 'version: v1', [0, 'version']],
    [{ ...OURS, version: 'V1' }, 'version: v1', [0, 'version']],
    [{ ...OURS, version: 1 }, 'version: v1', [0, 'version']],
    [{ ...OURS, version: ['v1'] }, 'version: v1', [0, 'version']],
    [{ ...OURS, version: undefined }, 'version: v1', [0]],
    [{ dataType: OURS.dataType, group: OURS.group }, 'version: v1', [0]],
    [{ ...OURS, group: 'secret.infisical ' }, 'group: secret.infisical', [0, 'group']],
    [{ ...OURS, group: 'Secret.Infisical' }, 'group: secret.infisical', [0, 'group']],
    [{ ...OURS, dataType: 'key' }, 'dataType: secret', [0, 'dataType']],
    [{ ...OURS, dataType: 'Secret', version: 'v2' }, 'dataType: secret and version: v1', [0, 'dataType']],
    [{ group: OURS.group, version: OURS.version }, 'dataType: secret', [0]],
  ])('grants nothing for the entry %j of our group, and warns of it', (entry, needed, path) => {
    const reason = `the entry of secret.infisical grants nothing: it must state ${needed}`;
    expect(parseSysData([{ ...entry, ops: OPS }], 'notes')).toEqual({
      grants: [],
      paths: [],
      warnings: [{ path, reason }],
    });
  });

  it('tells twenty of such entries and no more', () => {
    const many = Array.from({ length: 1_001 }, () => ({ ...OURS, version: 'v2' }));
    expect(parseSysData(many, 'notes')).toMatchObject({ grants: [], warnings: { length: 20 } });
  });

  it.each([null, undefined, 1, 'secret', [], [OURS], () => OURS])('ignores the odd entry %p', (entry) => {
    expect(parseSysData([entry, { ...OURS, ops: OPS }], 'notes')).toEqual({
      grants: [LIST],
      paths: [[1, 'ops', 0]],
      warnings: [],
    });
  });

  it('does not take fields that an entry inherits', () => {
    const entry: unknown = Object.create({ ...OURS, ops: OPS });
    expect(parseSysData([entry], 'notes')).toEqual({ grants: [], paths: [], warnings: [] });
    const partly: unknown = Object.assign(Object.create({ ops: OPS }) as object, OURS);
    expect(parseSysData([partly], 'notes')).toMatchObject({ grants: [] });
  });

  it.each([undefined, null])('has nothing to say of sysData %p', (sysData) => {
    expect(parseSysData(sysData, 'notes')).toEqual({ grants: [], paths: [], warnings: [] });
  });

  it.each([{}, { ...OURS, ops: OPS }, 'secret', 1])('warns of sysData %j, which is no list', (sysData) => {
    expect(parseSysData(sysData, 'notes')).toEqual({
      grants: [],
      paths: [],
      warnings: [{ path: [], reason: 'sysData must be a list' }],
    });
  });

  it.each([undefined, null, 'ListSecret', { 0: 'ListSecret' }])(
    'warns of ops %j, which is no list',
    (ops) => {
      expect(parseSysData([{ ...OURS, ops }], 'notes')).toEqual({
        grants: [],
        paths: [],
        warnings: [{ path: [0, 'ops'], reason: 'ops must be a list' }],
      });
    },
  );

  it('warns of each op that grants nothing, and takes the others', () => {
    const entry = { ...OURS, ops: ['All', ...OPS, 7] };
    expect(parseSysData([{}, entry], 'notes')).toEqual({
      grants: [LIST],
      paths: [[1, 'ops', 1]],
      warnings: [
        { path: [1, 'ops', 0], reason: expect.stringMatching(/^op "All": the operation is none of/) },
        { path: [1, 'ops', 2], reason: 'an op must be text' },
      ],
    });
  });

  it.each<[string, (count: number) => unknown]>([
    ['good ones', (count) => [{ ...OURS, ops: Array(count).fill(OPS[0]) }]],
    ['bad ones', (count) => [{ ...OURS, ops: Array(count).fill(7) }]],
    ['one in each entry', (count) => Array(count).fill({ ...OURS, ops: OPS })],
    ['none in each entry', (count) => Array(count).fill({ ...OURS })],
  ])('takes a thousand ops of ours and no more: %s', (_, sysData) => {
    expect(parseSysData(sysData(1000), 'notes')).not.toHaveProperty('refused');
    expect(parseSysData(sysData(1001), 'notes')).toEqual({ refused: 'more than 1000 ops' });
    const others = Array(5000).fill({ ...OURS, version: 'v2', ops: OPS });
    expect(parseSysData([...others, { ...OURS, ops: OPS }], 'notes')).toMatchObject({
      grants: [LIST],
      warnings: { length: 20 },
    });
  });
});
