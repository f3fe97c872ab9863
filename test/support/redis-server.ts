import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyAndCertificate } from './certificates';
import { eventually } from './eventually';

interface Started {
  readonly password?: string;
  /** Accepts TLS only. */
  readonly tls?: KeyAndCertificate & { readonly ca: string };
  /** Starts a Sentinel instead, which watches this primary as `main`. */
  readonly watches?: RedisServer;
}

/** A real Redis server on a free port of loopback, without persistence. A suite that starts one is described with `describeWith('redis-server', …)`. */
export class RedisServer {
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(
    private readonly options: Started,
    private readonly dir: string,
    readonly port: number,
  ) {}

  static async start(options: Started = {}): Promise<RedisServer> {
    const server = new RedisServer(options, mkdtempSync(join(tmpdir(), 'redis-')), await freePort());
    await server.begin();
    return server;
  }

  get url(): string {
    const { password, tls } = this.options;
    const user = password === undefined ? '' : `:${password}@`;
    return `${tls === undefined ? 'redis' : 'rediss'}://${user}127.0.0.1:${this.port}/0`;
  }

  /** Starts it again at the same address, and empty. */
  async begin(): Promise<void> {
    this.#output = '';
    this.#child = spawn('redis-server', [...this.#configuration()], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    const ready = this.options.watches === undefined ? /Ready to accept connections/ : /Sentinel ID is/;
    await eventually(() => {
      if (!ready.test(this.#output)) throw new Error(`redis-server does not start: ${this.#output}`);
    }, 10_000);
  }

  /** Kills it, as when its node is lost. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  /** Suspends it: it accepts commands and does not answer. */
  freeze(): () => void {
    this.#child?.kill('SIGSTOP');
    return () => this.#child?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #configuration(): readonly string[] {
    const { password, tls, watches } = this.options;
    if (watches !== undefined) return [this.#sentinelFile(watches), '--sentinel'];
    const common = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.dir];
    const access = password === undefined ? [] : ['--requirepass', password];
    if (tls === undefined) return ['--port', String(this.port), ...common, ...access];
    const files = { 'tls-cert-file': tls.cert, 'tls-key-file': tls.key, 'tls-ca-cert-file': tls.ca };
    const named = Object.entries(files).flatMap(([name, content]) => {
      writeFileSync(join(this.dir, name), content);
      return [`--${name}`, join(this.dir, name)];
    });
    const ports = ['--port', '0', '--tls-port', String(this.port), '--tls-auth-clients', 'no'];
    return [...ports, ...named, ...common, ...access];
  }

  /** A Sentinel writes its state into its configuration file. */
  #sentinelFile(primary: RedisServer): string {
    const file = join(this.dir, 'sentinel.conf');
    const { password } = primary.options;
    const lines = [
      `port ${this.port}`,
      'bind 127.0.0.1',
      `dir ${this.dir}`,
      `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
      ...(password === undefined ? [] : [`sentinel auth-pass main ${password}`]),
      ...(this.options.password === undefined ? [] : [`requirepass ${this.options.password}`]),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    return file;
  }
}

/** Redis does not listen with port 0, so a free port is found first. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
