import { createSecretKey } from 'node:crypto';
import { relative } from 'node:path';
import { MAX_VALUE_BYTES, type SecretScope } from '../../../src/secrets/secret';
import { openWorkspaceRecord } from '../../../src/stores/embedded/workspace-records';
import { META_RECORD_KEY, WORKSPACE_RECORDS } from '../../../src/stores/embedded/records';
import { openMeta, parseMeta, intoKey } from '../../../src/stores/embedded/vault/vault-meta';
import {
  at,
  filesBelow,
  freshFolder,
  masterKeyOf,
  openStore,
  withRecords,
  withStore,
} from './vault-under-test';

const CANARIES = {
  user: 'canary-user-Zwpq81',
  workspace: 'canary-workspace-Hnx27T',
  name: 'canary-name-Lk3vEw',
  value: 'canary-value-0aJr5S',
  updated: 'canary-updated-Yt66Bd',
  deleted: 'canary-deleted-Mc49Pf',
};

const SCOPES: readonly SecretScope[] = [
  at(CANARIES.user, CANARIES.workspace),
  at(CANARIES.user, `${CANARIES.workspace}2`, 'dev'),
];

/** The forms in which bytes could be lying in a file. */
function formsOf(bytes: Buffer, text?: string): Buffer[] {
  const hex = bytes.toString('hex');
  // Base64 of the bytes wherever they begin in a longer text: three alignments, without the ends that neighbours change.
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    return encoded.slice(shift === 0 ? 0 : 4, encoded.length - (encoded.length % 4) - 4);
  });
  const texts = [
    hex,
    hex.toUpperCase(),
    ...base64,
    ...base64.map((each) => each.replaceAll('+', '-').replaceAll('/', '_')),
  ];
  return [
    bytes,
    ...texts.map((each) => Buffer.from(each)),
    ...(text === undefined ? [] : [Buffer.from(text, 'utf16le')]),
  ];
}

function finds(path: string, needles: ReadonlyMap<string, readonly Buffer[]>): string[] {
  const found: string[] = [];
  for (const [file, bytes] of filesBelow(path)) {
    for (const [title, forms] of needles) {
      if (forms.some((form) => bytes.includes(form) || file.includes(form.toString('latin1')))) {
        found.push(`${title} in ${relative(path, file)}`);
      }
    }
  }
  return found;
}

const CANARY_FORMS = new Map(
  Object.entries(CANARIES).map(([title, text]) => [title, formsOf(Buffer.from(text), text)] as const),
);

describe('The files of the embedded store', () => {
  const folder = freshFolder();
  afterAll(() => folder.remove());

  it('hold no user, workspace or secret name, no value and no key, in any state', async () => {
    const seen = new Set<string>();
    const look = (when: string) => {
      for (const file of filesBelow(folder.path).keys()) seen.add(file.replace(/^.*\./, ''));
      expect([when, finds(folder.path, CANARY_FORMS)]).toEqual([when, []]);
    };
    const store = await openStore(folder.path);
    for (const scope of SCOPES) {
      await store.create(scope, { name: CANARIES.name, value: CANARIES.value });
      await store.update(scope, { name: CANARIES.name, value: CANARIES.updated.repeat(1000) });
      await store.create(scope, { name: 'gone', value: CANARIES.deleted });
      await store.delete(scope, 'gone');
      // More than a write buffer: tables are written while the store is open.
      for (let n = 0; n < 6; n++) {
        await store.create(scope, {
          name: `${CANARIES.name}${n}`,
          value: CANARIES.value.repeat(MAX_VALUE_BYTES / 20),
        });
      }
      await store.list(scope);
    }
    look('open');
    await store.close();
    look('closed');
    await withStore(folder.path, async (reopened) => {
      expect(await reopened.list(SCOPES[0]!)).toHaveLength(7);
      look('reopened');
    });
    await withRecords(folder.path, (records) => records.compactRange(Buffer.from([0]), Buffer.from([255])));
    look('compacted');
    expect([...seen].sort()).toEqual(expect.arrayContaining(['ldb', 'log']));

    const { raw, keys } = await withRecords(folder.path, async (records) => {
      const meta = parseMeta((await records.get(META_RECORD_KEY))!, folder.path);
      const opened = openMeta(meta, masterKeyOf('A'));
      const wrapped = await records.iterator(WORKSPACE_RECORDS).all();
      const dataKeys = wrapped.map(([key, value]) => openWorkspaceRecord(opened.wrappingKey, key, value).key);
      const all = [opened.wrappingKey, opened.indexKey, ...dataKeys, createSecretKey(masterKeyOf('A'))];
      return { raw: all.map((key) => key.export()), keys: dataKeys.length };
    });
    expect(keys).toBe(2);
    expect(new Set(raw.map((key) => key.toString('hex'))).size).toBe(5);
    const keyForms = new Map(raw.map((key, n) => [`key ${n}`, formsOf(key)] as const));
    expect(finds(folder.path, keyForms)).toEqual([]);
  });

  it('would show a plaintext to this search', () => {
    const text = CANARIES.value;
    const hidden = [
      Buffer.from(`x${text}y`),
      Buffer.from(`xx${text}`, 'utf16le'),
      ...[0, 1, 2, 3].map((n) => Buffer.from(Buffer.from(`${'x'.repeat(n)}${text}yyyy`).toString('base64'))),
      Buffer.from(Buffer.from(text).toString('hex')),
    ];
    const forms = CANARY_FORMS.get('value')!;
    expect(hidden.map((bytes) => forms.some((form) => bytes.includes(form)))).toEqual(hidden.map(() => true));
  });

  it('have no twin in memory longer than needed: key bytes are overwritten once the key is made', () => {
    const bytes = masterKeyOf('any');
    const key = intoKey(bytes);
    expect(bytes).toEqual(new Uint8Array(32));
    expect(new Uint8Array(key.export())).toEqual(masterKeyOf('any'));
  });

  it('never hold the same value twice in the same way', async () => {
    const twice = freshFolder();
    await withStore(twice.path, async (store) => {
      for (const name of ['a', 'b']) await store.create(SCOPES[0]!, { name, value: 'same' });
      await store.update(SCOPES[0]!, { name: 'a', value: 'same' });
    });
    const records = await withRecords(twice.path, (all) => all.values().all());
    const nonces = records.slice(2).map((record) => record.subarray(0, 12).toString('hex'));
    expect(new Set(nonces).size).toBe(2);
    twice.remove();
  });
});
