import { Agent, request } from 'node:https';

export interface LoadedRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends requests without a pause on several connections: persistent ones, and a new one for each request. */
export class Load {
  readonly failures: string[] = [];
  readonly #agents: readonly Agent[];
  readonly #done: number[];
  readonly #ended: Promise<unknown>;
  #goesOn = true;

  /** @param next makes the next request, until `stop` is called */
  constructor(ca: string, connections: number, next: () => Promise<LoadedRequest>) {
    this.#agents = Array.from(
      { length: connections },
      (_, i) => new Agent({ ca, keepAlive: i > 0, maxSockets: 1 }),
    );
    this.#done = this.#agents.map(() => 0);
    this.#ended = Promise.all(this.#agents.map((agent, i) => this.#run(agent, i, next)));
  }

  get count(): number {
    return this.#done.reduce((sum, done) => sum + done, 0);
  }

  /** Resolves when each connection has answered so many more requests. */
  async passes(requests = 2): Promise<void> {
    const until = this.#done.map((done) => done + requests);
    while (this.#done.some((done, i) => done < (until[i] ?? 0))) await new Promise(setImmediate);
  }

  async stop(): Promise<void> {
    this.#goesOn = false;
    await this.#ended;
    for (const agent of this.#agents) agent.destroy();
  }

  async #run(agent: Agent, index: number, next: () => Promise<LoadedRequest>): Promise<void> {
    while (this.#goesOn) {
      const outcome = await next().then((wanted) => answerTo(wanted, agent));
      if (outcome !== '200') this.failures.push(outcome);
      this.#done[index] = (this.#done[index] ?? 0) + 1;
    }
  }
}

/** Returns the status, with the body of a failure; or the code of the connection's failure. */
function answerTo({ url, headers }: LoadedRequest, agent: Agent): Promise<string> {
  return new Promise((resolve) => {
    const sent = request(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      agent,
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'lost'));
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve(response.statusCode === 200 ? '200' : `${response.statusCode} ${text}`),
      );
    });
    sent.end('{}');
  });
}
