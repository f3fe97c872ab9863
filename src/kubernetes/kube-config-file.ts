import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { KubeConfigUnusable, KubernetesFailure, kubernetesFailureOf } from './kubernetes-api';

/** Kubernetes keeps no Secret or ConfigMap above 1 MiB, where these files come from. */
const MAX_FILE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 8 * 1024;

/** A file, which is read anew for each request since it may be renewed, or what the kubeconfig itself holds. */
export type Source = { readonly file: string } | { readonly data: string };

/** The parser's warnings quote the text and go to stderr. */
const PARSE_OPTIONS = { logLevel: 'error', prettyErrors: false } as const;
const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}$/;

export type EntryKind = 'cluster' | 'context' | 'user';

/** One file of KUBECONFIG. */
export class KubeConfigFile {
  private readonly content: Readonly<Record<string, unknown>>;

  /** @throws KubeConfigUnusable */
  constructor(private readonly path: string) {
    const text = this.read();
    try {
      this.content = fieldsOf(parse(text, PARSE_OPTIONS) ?? {});
    } catch {
      // The parser's error would quote the text, and with it a token.
      throw new KubeConfigUnusable(`The kubeconfig ${path} is not a YAML mapping.`);
    }
  }

  get currentContext(): string | undefined {
    const name = this.content['current-context'];
    return typeof name === 'string' && name !== '' ? name : undefined;
  }

  /** Returns the entry of this name, or undefined. @throws KubeConfigUnusable where the list or the entry is malformed */
  entry(kind: EntryKind, name: string): KubeConfigEntry | undefined {
    const list = this.content[`${kind}s`] ?? [];
    try {
      if (!Array.isArray(list)) throw new TypeError('no list');
      const found = (list as readonly unknown[]).map(fieldsOf).find((one) => one['name'] === name);
      return found && new KubeConfigEntry(this.path, kind, name, fieldsOf(found[kind] ?? {}));
    } catch {
      throw new KubeConfigUnusable(`The kubeconfig ${this.path} has malformed ${kind}s.`);
    }
  }

  private read(): string {
    try {
      return readBounded(this.path);
    } catch (error: unknown) {
      const { reason } = kubernetesFailureOf(error);
      throw new KubeConfigUnusable(`The kubeconfig ${this.path} cannot be read (${reason}).`);
    }
  }
}

/** A cluster, a context or a user of a kubeconfig. Its messages name fields, never their values. */
export class KubeConfigEntry {
  constructor(
    private readonly file: string,
    private readonly kind: EntryKind,
    private readonly name: string,
    private readonly fields: Readonly<Record<string, unknown>>,
  ) {}

  wrong(field: string, rule: string): KubeConfigUnusable {
    return new KubeConfigUnusable(
      `The kubeconfig ${this.file} is wrong: ${field} of the ${this.kind} ${JSON.stringify(this.name)} ${rule}.`,
    );
  }

  /** @throws KubeConfigUnusable where one of them is set: ignored, we would call as somebody else or by another way. */
  refuse(unsupported: readonly string[], advice: string): void {
    const found = unsupported.find((field) => (this.fields[field] ?? '') !== '');
    if (found !== undefined) throw this.wrong(found, `is not supported; ${advice}`);
  }

  /** Returns the text of a field; undefined where it is missing or empty. @throws KubeConfigUnusable where it is no text */
  text(field: string): string | undefined {
    const value = this.fields[field] ?? '';
    if (typeof value !== 'string') throw this.wrong(field, 'must be text');
    return value === '' ? undefined : value;
  }

  required(field: string): string {
    const value = this.text(field);
    if (value === undefined) throw this.wrong(field, 'must be set');
    return value;
  }

  flag(field: string): boolean {
    const value = this.fields[field] ?? false;
    if (typeof value !== 'boolean') throw this.wrong(field, 'must be true or false');
    return value;
  }

  /** Returns an absolute path; a relative one is relative to the folder of the kubeconfig. */
  path(field: string): string | undefined {
    const value = this.text(field);
    return value === undefined ? undefined : resolve(dirname(this.file), value);
  }

  /** Returns where a certificate or key is; `<field>-data`, which is base64, counts before the file, as in kubectl. */
  source(field: string): Source | undefined {
    const encoded = this.text(`${field}-data`)?.trim();
    if (encoded !== undefined) {
      const data = Buffer.from(encoded, 'base64').toString('utf8');
      if (BASE64.test(encoded) && data.includes('-----BEGIN ')) return { data };
      throw this.wrong(`${field}-data`, 'must be PEM in base64');
    }
    const file = this.path(field);
    return file === undefined ? undefined : { file };
  }
}

/** @throws TypeError where it is no mapping */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('no mapping');
  return value as Readonly<Record<string, unknown>>;
}

/** @throws KubernetesFailure where the file is too large, or an error of the file system */
export function readBounded(path: string): string {
  const descriptor = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    for (let length = 0; ;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const read = readSync(descriptor, chunk);
      if (read === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, read));
      length += read;
      if (length > MAX_FILE_BYTES) throw new KubernetesFailure('FileTooLarge');
    }
  } finally {
    closeSync(descriptor);
  }
}
