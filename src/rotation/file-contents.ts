import { readFileSync } from 'node:fs';

/** What some files hold at one moment, or a sentence why that cannot be said. */
export type FileContents = readonly Uint8Array[] | { readonly problem: string };

/** The foreign error ends here, but for its code. */
export function contentsOf(paths: readonly string[]): FileContents {
  const contents: Uint8Array[] = [];
  for (const path of paths) {
    try {
      contents.push(readFileSync(path));
    } catch (error: unknown) {
      const { code } = error as { code?: unknown };
      return { problem: `${path} cannot be read (${typeof code === 'string' ? code : 'unknown error'})` };
    }
  }
  return contents;
}

export function areSame(one: FileContents | undefined, other: FileContents): boolean {
  if (one === undefined) return false;
  if ('problem' in one || 'problem' in other) {
    return 'problem' in one && 'problem' in other && one.problem === other.problem;
  }
  return one.every((bytes, index) => Buffer.compare(bytes, other[index] ?? new Uint8Array()) === 0);
}
