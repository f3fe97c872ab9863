/** What a child process does when it is asked, by name. */
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

/** Answers the parent's questions until it hangs up. */
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
