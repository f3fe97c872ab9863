import { openSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { GrantsFolder } from '../../test/grant-sources/grants-folder';
import { ACCESS_TOKEN_KEY, USER_TOKEN_SECRET } from '../../test/support/tokens';
import type { BenchApp } from './apps';
import { Child } from './processes/child';
import type { DecisionMaker } from './processes/decision-maker';
import type { Handlers } from './processes/handlers';
import type { InfisicalServer } from './processes/infisical-server';
import { LOGIN } from './processes/login';
import type { LoadGenerator } from './processes/load-generator';
import type { Predecessor } from './processes/predecessor';
import type { Reporter } from './processes/reporter';
import type { ServerKind } from './processes/service-times';

const START_WITHIN_MS = 20_000;

/** The project's folder: this file is built to node_modules/.cache/bench/scripts/bench. */
const ROOT = resolve(__dirname, '../../../../..');

/** A server of ours that reports about itself. */
export interface RunningServer {
  readonly url: string;
  readonly reporter: Child<Reporter>;
}

/** Starts the processes of a figure, and ends all of them. */
export class Stage {
  readonly #children: { end(): Promise<void> }[] = [];
  readonly #folders: GrantsFolder[] = [];

  /** Starts the built service as operators run it, with its log discarded. */
  async service(
    infisicalUrl: string,
    apps: readonly BenchApp[],
    settings: Readonly<Record<string, string>> = {},
  ): Promise<RunningServer> {
    const folder = new GrantsFolder(apps);
    this.#folders.push(folder);
    const server = await this.#server(join(ROOT, 'dist/main.js'), {
      GRANTS_DIR: folder.dir,
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      INFISICAL_URL: infisicalUrl,
      INFISICAL_CLIENT_ID: LOGIN.clientId,
      INFISICAL_CLIENT_SECRET: LOGIN.clientSecret,
      ...settings,
    });
    await answers(server, '/readyz');
    return server;
  }

  async echo(): Promise<RunningServer> {
    const server = await this.#server(script('echo-server'), {});
    await answers(server, '/echo');
    return server;
  }

  infisical(kind: ServerKind): Child<InfisicalServer> {
    return this.#keep(new Child<InfisicalServer>(script('infisical-server'), {}, [kind]));
  }

  loadGenerator(): Child<LoadGenerator> {
    return this.#child<LoadGenerator>('load-generator');
  }

  predecessor(): Child<Predecessor> {
    return this.#child<Predecessor>('predecessor');
  }

  decisionMaker(): Child<DecisionMaker> {
    return this.#child<DecisionMaker>('decision-maker');
  }

  async clear(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end()));
    for (const folder of this.#folders) folder.dispose();
  }

  #child<H extends Handlers>(name: string): Child<H> {
    return this.#keep(new Child<H>(script(name)));
  }

  #keep<C extends { end(): Promise<void> }>(child: C): C {
    this.#children.push(child);
    return child;
  }

  async #server(file: string, settings: Readonly<Record<string, string>>): Promise<RunningServer> {
    const port = await freePort();
    const nowhere = openSync('/dev/null', 'w');
    const reporter = this.#keep(
      new Child<Reporter>(file, {
        cwd: ROOT,
        env: {
          PATH: process.env['PATH'] ?? '',
          NODE_ENV: 'production',
          HOST: '127.0.0.1',
          PORT: `${port}`,
          LOG_LEVEL: 'info',
          ...settings,
        },
        execArgv: ['--expose-gc', '--require', script('reporter')],
        stdio: ['ignore', nowhere, 'inherit', 'ipc'],
      }),
    );
    return { url: `http://127.0.0.1:${port}`, reporter };
  }
}

function script(name: string): string {
  return join(__dirname, 'processes', `${name}.js`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Whatever it says; /readyz says 503 until it is. */
async function answers({ url, reporter }: RunningServer, path: string): Promise<void> {
  for (const startMs = performance.now(); ;) {
    const status = await fetch(url + path).then((answer) => answer.status, () => undefined); // prettier-ignore
    if (status !== undefined && status < 500) return;
    if (reporter.hasEnded) throw new Error('a server ended before it answered');
    if (performance.now() - startMs > START_WITHIN_MS) throw new Error(`${path} is not answered`);
    await pause(20);
  }
}
