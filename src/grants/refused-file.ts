/** Why a whole file is not taken. The reason never repeats a value. */
export interface Refusal {
  readonly refused: string;
  /** 1-based. */
  readonly line: number;
}

/** Carries a refusal out of the depth of a parser; every parser catches its own. */
export class RefusedFile extends Error {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(reason);
    this.name = 'RefusedFile';
  }
}

export function refusalOf(error: unknown, text: string): Refusal {
  if (error instanceof RefusedFile) return { refused: error.reason, line: lineAt(text, error.offset) };
  // The parser is recursive, so thousands of nested brackets end its stack; and whatever else a file may bring
  // about in it costs that file only.
  return { refused: `cannot be parsed (${error instanceof Error ? error.name : 'unknown'})`, line: 1 };
}

export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
