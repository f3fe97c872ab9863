import { fork, type ChildProcess, type ForkOptions } from 'node:child_process';
import { once } from 'node:events';
import type { Answer, Handlers, Question } from './handlers';

/** A child process whose functions are called over IPC. */
export class Child<H extends Handlers> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #asked = 0;

  constructor(script: string, options: ForkOptions = {}, given: readonly string[] = []) {
    this.#process = fork(script, given, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], ...options });
    this.#process.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer));
    this.#process.on('exit', () => {
      for (const [id, give] of this.#waiting) give({ id, failure: `${script} has ended` });
    });
  }

  async ask<K extends keyof H & string>(
    what: K,
    ...[argument]: Parameters<H[K]>
  ): Promise<Awaited<ReturnType<H[K]>>> {
    const id = this.#asked++;
    const { failure, value } = await new Promise<Answer>((give) => {
      this.#waiting.set(id, give);
      const question: Question = { id, what, argument };
      this.#process.send(question, (error) => {
        if (error !== null) give({ id, failure: error.message });
      });
    });
    this.#waiting.delete(id);
    if (failure !== undefined) throw new Error(`${what}: ${failure}`);
    return value as Awaited<ReturnType<H[K]>>;
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async end(): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}
