import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import type { SecretScope } from '../../../src/secrets/secret';
import { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { StoreClient } from '../../support/store-client';
import { EmbeddedStoreUnusable } from '../../../src/errors/operator-errors';

/** A temporary folder of this test; the caller removes it. */
export function freshFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'embedded-store-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** 32 bytes that differ by letter. */
export function masterKeyOf(letter: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(letter).digest());
}

export function at(
  user: string,
  workspace: string,
  environment: SecretScope['environment'] = 'prod',
): SecretScope {
  return { user, workspace, environment };
}

/** An open embedded store. */
export type OpenedVault = StoreClient<EmbeddedSecretStore>;

export async function openStore(dataDir: string, masterKey = masterKeyOf('A')): Promise<OpenedVault> {
  return new StoreClient(await EmbeddedSecretStore.open({ dataDir, masterKey }));
}

/** Runs `work` on an open store and closes it. */
export async function withStore<T>(
  dataDir: string,
  work: (store: OpenedVault) => Promise<T>,
  masterKey = masterKeyOf('A'),
): Promise<T> {
  const store = await openStore(dataDir, masterKey);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** What an opening is refused for, with its sentence; a store that opens is closed again. */
export async function refusal(
  opening: Promise<{ close(): Promise<void> }>,
): Promise<EmbeddedStoreUnusable | undefined> {
  try {
    await (await opening).close();
    return undefined;
  } catch (error: unknown) {
    if (error instanceof EmbeddedStoreUnusable) return error;
    throw error;
  }
}

/** The records as somebody with the files sees them, in the order of their keys; closed afterwards. */
export async function withRecords<T>(
  dataDir: string,
  work: (records: ClassicLevel<Buffer, Buffer>) => Promise<T>,
): Promise<T> {
  const records = new ClassicLevel<Buffer, Buffer>(join(dataDir, 'vault'), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
  });
  await records.open();
  try {
    return await work(records);
  } finally {
    await records.close();
  }
}

/** All files below a folder, by path. */
export function filesBelow(path: string): ReadonlyMap<string, Buffer> {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return [file, readFileSync(file)];
    }),
  );
}
