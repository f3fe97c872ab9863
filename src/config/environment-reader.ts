import type { SettingDefinition } from './setting-groups';
import { SETTING_DEFINITIONS, type SecretSettingName, type SettingName } from './setting-definitions';
import { readFileSync } from 'node:fs';

export type EnvironmentVariables = Readonly<Record<string, string | undefined>>;

/**
 * Reads variables by name and collects every problem instead of stopping at the first.
 * A problem names the variable and the rule, never the value.
 */
export class EnvironmentReader {
  readonly problems: string[] = [];
  /** The paths of the secrets that were given as files. */
  readonly files: Partial<Record<SecretSettingName, string>> = {};

  constructor(private readonly env: EnvironmentVariables) {}

  problem(name: string, rule: string): void {
    this.problems.push(`${name} ${rule}`);
  }

  /** Returns variables that are no settings of ours, as they stand. */
  variables(names: readonly string[]): EnvironmentVariables {
    return Object.fromEntries(names.map((name) => [name, this.env[name]]));
  }

  text(name: SettingName): string | undefined {
    const value = this.env[name];
    if (value !== undefined && value !== '') return value;
    const definition: SettingDefinition = SETTING_DEFINITIONS[name];
    return definition.default;
  }

  required(name: SettingName, why: string): string {
    const value = this.text(name);
    if (value === undefined) this.problem(name, why);
    return value ?? '';
  }

  integer(name: SettingName, min: number, max: number): number {
    const value = this.text(name) ?? '';
    const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    this.problem(name, `must be a whole number from ${min} to ${max}`);
    return min;
  }

  boolean(name: SettingName): boolean {
    const value = this.text(name);
    if (value !== 'true' && value !== 'false') this.problem(name, 'must be true or false');
    return value === 'true';
  }

  oneOf<T extends string>(name: SettingName, choices: readonly T[]): T {
    const value = this.text(name);
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) this.problem(name, `must be one of ${choices.join(', ')}`);
    return choice ?? (choices[0] as T);
  }

  url(name: SettingName): string | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const parsed = URL.canParse(value) ? new URL(value) : undefined;
    // An empty query or fragment is none to URL, which also takes spaces around it.
    const isPlain = parsed?.username === '' && parsed.password === '' && !/[\s?#]/.test(value);
    if (isPlain && (parsed.protocol === 'http:' || parsed.protocol === 'https:'))
      return parsed.href.replace(/\/+$/, '');
    this.problem(name, 'must be an http or https URL without credentials, query or fragment');
    return undefined;
  }

  /** Reads key material from the variable or from its file. An absent, short or unreadable key is a problem. */
  key(name: SecretSettingName, why: string): Uint8Array {
    const file = this.fileOf(name);
    try {
      if (file !== undefined) return readKeyFile(file);
    } catch (error: unknown) {
      this.problem(`${name}_FILE:`, (error as Error).message);
      return new Uint8Array();
    }
    const bytes = Buffer.from(this.env[name] ?? '', 'utf8');
    if (bytes.length === 0) this.problem(name, `or ${name}_FILE ${why}`);
    else if (bytes.length < MIN_KEY_BYTES) this.problem(name, `must be at least ${MIN_KEY_BYTES} bytes`);
    return bytes;
  }

  /** Reads a credential from the variable or from its file; an absent or unreadable one is a problem. */
  credential(name: SecretSettingName, why: string): string {
    const file = this.fileOf(name);
    try {
      const value = file === undefined ? this.env[name] : readTextFile(file);
      if (value !== undefined && value !== '') return value;
      this.problem(name, `or ${name}_FILE ${why}`);
    } catch (error: unknown) {
      this.problem(`${name}_FILE:`, (error as Error).message);
    }
    return '';
  }

  /** Reads a credential that may be absent. */
  optionalCredential(name: SecretSettingName): string | undefined {
    return this.isGiven(name) ? this.credential(name, 'must hold something') : undefined;
  }

  /** Returns whether a variable is set, or the one that names its file. */
  isGiven(name: SettingName): boolean {
    return [name, `${name}_FILE`].some((variable) => (this.env[variable] ?? '') !== '');
  }

  private fileOf(name: SecretSettingName): string | undefined {
    const file = this.env[`${name}_FILE`];
    if (file === undefined || file === '') return undefined;
    if ((this.env[name] ?? '') !== '') this.problem(name, `and ${name}_FILE are both set; set one`);
    this.files[name] = file;
    return file;
  }
}

/** Shorter keys are refused: the algorithms that use them have a strength of 256 bits. */
export const MIN_KEY_BYTES = 32;

/**
 * Reads key material from a file: raw bytes, or text such as hex or base64, whose bytes are the key as they stand.
 * An editor's last newline is not part of the key, unless the file is exactly 32 (raw) bytes.
 * @throws Error with a sentence that names the path and is safe to print
 */
export function readKeyFile(path: string): Uint8Array {
  return keyFrom(path, readFile(path));
}

/** Returns the key in a file that was read already. @param path for the error message. @throws as readKeyFile */
export function keyFrom(path: string, bytes: Uint8Array): Uint8Array {
  const key = bytes.length === MIN_KEY_BYTES ? bytes : withoutLastNewline(bytes);
  if (key.length < MIN_KEY_BYTES) throw new Error(`${path} holds fewer than ${MIN_KEY_BYTES} bytes`);
  return key;
}

/** Reads a credential that is text, e.g. a client secret, without one last newline. @throws as readKeyFile */
export function readTextFile(path: string): string {
  return textFrom(readFile(path));
}

/** Returns the text of a file that was read already, without one last newline. */
export function textFrom(bytes: Uint8Array): string {
  return Buffer.from(withoutLastNewline(bytes)).toString('utf8');
}

/** @throws Error as readKeyFile */
export function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error: unknown) {
    throw new Error(`${path} cannot be read (${fileErrorCode(error)})`);
  }
}

function withoutLastNewline(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

/** Returns the code of an error of the file system, e.g. ENOTDIR, which is all that may be printed of it. */
export function fileErrorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : 'unknown error';
}
