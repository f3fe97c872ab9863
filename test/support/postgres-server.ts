import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathOfPostgresql } from './describe-with';
import { eventually } from './eventually';

const NOBODY = 65_534;
const USER = 'infisical_os_protected';
const DATABASE = 'os_protected_infisical';

/** A real PostgreSQL on a free port of loopback, which demands a password. A suite that starts one is described with `describeWith('postgresql', …)`. */
export class PostgresServer {
  private constructor(
    private readonly dir: string,
    private readonly child: ChildProcess,
    private readonly port: number,
    readonly password: string,
  ) {}

  static async start(): Promise<PostgresServer> {
    const dir = mkdtempSync(join(tmpdir(), 'postgres-'));
    const password = 'canary/database:pass@word%41';
    writeFileSync(join(dir, 'password'), password);
    const env = { ...process.env, PATH: pathOfPostgresql() };
    // PostgreSQL does not run as root.
    const as = process.geteuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    if ('uid' in as) for (const path of [dir, join(dir, 'password')]) chownSync(path, NOBODY, NOBODY);
    const data = join(dir, 'data');
    const initialise = [
      '-D',
      data,
      '-U',
      USER,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
    ];
    execFileSync('initdb', [...initialise, `--pwfile=${join(dir, 'password')}`], {
      ...as,
      cwd: dir,
      env,
      stdio: 'ignore',
    });
    const port = await freePort();
    const options = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir, '-c', 'fsync=off'];
    const child = spawn('postgres', options, { ...as, cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(() => {
      if (!output.includes('ready to accept connections')) throw new Error(`It does not start: ${output}`);
    }, 20_000);
    const server = new PostgresServer(dir, child, port, password);
    server.run(`CREATE DATABASE ${DATABASE}`, 'postgres');
    return server;
  }

  get url(): string {
    return `postgres://${USER}@127.0.0.1:${this.port}/${DATABASE}`;
  }

  /** Runs SQL by psql, and returns what it prints. */
  run(sql: string, database = DATABASE): string {
    const address = ['-h', '127.0.0.1', '-p', String(this.port), '-U', USER, '-d', database];
    return execFileSync('psql', [...address, '-v', 'ON_ERROR_STOP=1', '-At', '-c', sql], {
      env: { PATH: process.env['PATH'] ?? '', PGPASSWORD: this.password },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  async remove(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    this.child.kill('SIGINT');
    await ended;
    rmSync(this.dir, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
