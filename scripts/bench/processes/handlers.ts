/** The functions of a child process that its parent may call, by name. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

export interface Question {
  readonly id: number;
  readonly what: string;
  readonly argument: unknown;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly failure?: string;
}

/** Answers the parent's calls until it disconnects. */
export function serve<H extends Handlers>(handlers: H): void {
  process.on('message', (question: Question) => void answer(handlers, question));
  process.on('disconnect', () => process.exit());
}

async function answer(handlers: Handlers, { id, what, argument }: Question): Promise<void> {
  const given: Answer = await Promise.resolve()
    .then(() => handlers[what]?.(argument as never))
    .then(
      (value) => ({ id, value }),
      (error: unknown) => ({ id, failure: error instanceof Error ? error.message : 'unknown' }),
    );
  process.send?.(given);
}
