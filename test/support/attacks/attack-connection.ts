import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as secureConnect, TLSSocket } from 'node:tls';

/** The attacked service, and the addresses and credentials of the attackers. Every attack ends after `seconds`. */
export interface Target {
  readonly port: number;
  readonly metricsPort: number;
  /** Local addresses of 127.0.0.0/8, used alternately; a server distinguishes its peers by them. */
  readonly from: readonly string[];
  readonly seconds: number;
  /** Apps with credentials that the service accepts, for attacks by an app. */
  readonly apps: readonly AttackingApp[];
  /** An app of somebody else; its key and names are no secrets. */
  readonly victim?: {
    readonly app: string;
    readonly user: string;
    readonly appKey: string;
    readonly workspace: string;
  };
  readonly tls?: boolean;
  /** The folder in which apps are installed. */
  readonly grantsDir?: string;
}

export interface AttackingApp {
  readonly appKey: string;
  readonly workspace: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Counts by outcome: `200`, `503 OVERLOADED`, `cut` (closed by the service before it answered), `refused` (no connection). */
export type Outcomes = Record<string, number>;

/** Credentials that are well-formed and not signed. */
export const FORGED_CREDENTIALS: Readonly<Record<string, string>> = {
  'x-authorization': `${token({ alg: 'HS512' }, { username: 'mallory', exp: 4_000_000_000 })}.${'A'.repeat(86)}`,
  'x-access-token': `${token({ alg: 'HS256', typ: 'JWT' }, { sub: 'mallory', exp: 4_000_000_000 })}.${'A'.repeat(43)}`,
};

function token(header: object, claims: object): string {
  return [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
}

/** Returns the head of a request as text. */
export function head(
  method: string,
  path: string,
  headers: Readonly<Record<string, string | number>> = {},
): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`;
}

/** Returns head and body of a JSON request as text. */
export function post(path: string, headers: Readonly<Record<string, string>>, body: string): string {
  const length = Buffer.byteLength(body);
  return head('POST', path, { ...headers, 'Content-Type': 'application/json', 'Content-Length': length }) + body; // prettier-ignore
}

const MAX_KEPT_BYTES = 64 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

/** The connections of one attack, and the outcomes of what was sent on them. */
export class AttackConnections {
  readonly outcomes: Outcomes = {};
  readonly #sockets = new Set<Socket>();
  readonly #endMs: number;
  #opened = 0;

  constructor(private readonly target: Target) {
    this.#endMs = performance.now() + target.seconds * 1000;
  }

  get isRunning(): boolean {
    return performance.now() < this.#endMs;
  }

  get open(): number {
    return this.#sockets.size;
  }

  count(outcome: string, times = 1): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + times;
  }

  /**
   * Connects from the next address, and counts the answers that arrive. With `reads: false` nothing is read.
   * @returns undefined where the connection is refused
   */
  async connect({ reads = true, halfOpen = false } = {}): Promise<AttackConnection | undefined> {
    const { port, from, tls } = this.target;
    const localAddress = from[this.#opened++ % from.length];
    const socket = connect({
      port,
      host: '127.0.0.1',
      allowHalfOpen: halfOpen,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    if (!reads) socket.pause();
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    const isConnected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('close', () => resolve(false));
    });
    if (!isConnected) {
      this.count('refused');
      return undefined;
    }
    socket.setNoDelay(true);
    if (tls !== true) return new AttackConnection(socket, this, reads);
    const secured = secureConnect({ socket, rejectUnauthorized: false });
    secured.on('error', () => undefined);
    const isSecured = await new Promise<boolean>((resolve) => {
      secured.once('secureConnect', () => resolve(true));
      secured.once('close', () => resolve(false));
    });
    if (isSecured) return new AttackConnection(secured, this, reads);
    this.count('refused');
    return undefined;
  }

  /** Opens so many connections, a few at a time. */
  async connectMany(count: number, options: { readonly reads?: boolean } = {}): Promise<AttackConnection[]> {
    const opened: AttackConnection[] = [];
    for (let at = 0; at < count && this.isRunning; at += 50) {
      const some = Array.from({ length: Math.min(50, count - at) }, () => this.connect(options));
      for (const one of await Promise.all(some)) if (one !== undefined) opened.push(one);
    }
    return opened;
  }

  /** Waits until the attack ends or the service has closed all connections. */
  async hold(): Promise<void> {
    while (this.isRunning && this.#sockets.size > 0) await pause(20);
  }

  /** Repeats the work on so many concurrent workers until the attack ends. */
  async repeat(workers: number, work: (worker: number) => Promise<void>): Promise<void> {
    const worker = async (_: unknown, at: number): Promise<void> => {
      while (this.isRunning) await work(at);
    };
    await Promise.all(Array.from({ length: workers }, worker));
  }

  end(): Outcomes {
    for (const socket of this.#sockets) socket.destroy();
    return this.outcomes;
  }
}

export class AttackConnection {
  #received: Buffer = Buffer.alloc(0);
  /** How much of the current answer's body is still to come. */
  #bodyBytesLeft = 0;
  #outcome = '';
  #text = '';
  #unanswered = 0;
  readonly #waiting: ((outcome: string) => void)[] = [];

  constructor(
    readonly socket: Socket,
    private readonly all: AttackConnections,
    reads: boolean,
  ) {
    if (reads) socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('close', () => {
      for (; this.#unanswered > 0; this.#unanswered--) this.#answered('cut');
    });
  }

  get isOpen(): boolean {
    return !this.socket.destroyed;
  }

  /** Resolves once the kernel has accepted it, or the connection has ended. */
  async send(bytes: string | Uint8Array): Promise<void> {
    if (this.socket.destroyed || !this.socket.writable) return;
    await new Promise<void>((sent) => {
      this.socket.once('close', sent);
      this.socket.write(bytes, () => {
        this.socket.off('close', sent);
        sent();
      });
    });
  }

  /** Notes a request, so that its answer is counted, or `cut` where the connection ends first. */
  expectAnswer(): void {
    this.#unanswered += 1;
    if (this.socket.destroyed) {
      this.#unanswered -= 1;
      this.#answered('cut');
    }
  }

  /** Sends a whole request; resolves with its outcome. */
  async ask(request: string | Uint8Array): Promise<string> {
    const outcome = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.expectAnswer();
    if (this.isOpen) this.socket.write(request);
    return outcome;
  }

  end(): void {
    this.socket.destroy();
  }

  /** Ends the connection by a reset; within TLS by an orderly end. */
  reset(): void {
    this.#unanswered = 0;
    if (this.socket instanceof TLSSocket) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  #answered(outcome: string): void {
    this.all.count(outcome);
    this.#waiting.shift()?.(outcome);
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#bodyBytesLeft > 0) {
        const body = rest.subarray(0, this.#bodyBytesLeft);
        if (this.#text.length < MAX_KEPT_BYTES) this.#text += body.toString('latin1');
        this.#bodyBytesLeft -= body.length;
        rest = rest.subarray(body.length);
        if (this.#bodyBytesLeft === 0) this.#endOfAnswer();
        continue;
      }
      this.#received = Buffer.concat([this.#received, rest]);
      const end = this.#received.indexOf(HEAD_END);
      if (end < 0) return;
      const lines = this.#received.subarray(0, end).toString('latin1');
      rest = this.#received.subarray(end + HEAD_END.length);
      this.#received = Buffer.alloc(0);
      this.#outcome = /^HTTP\/1\.1 (\d{3})/.exec(lines)?.[1] ?? 'no HTTP';
      if (this.#outcome === '100') continue;
      this.#text = '';
      this.#bodyBytesLeft = Number(/^content-length: (\d+)/im.exec(lines)?.[1] ?? 0);
      if (this.#bodyBytesLeft === 0) this.#endOfAnswer();
    }
  }

  #endOfAnswer(): void {
    const reason = /"reason":"(\w+)"/.exec(this.#text)?.[1];
    if (this.#unanswered > 0) this.#unanswered -= 1;
    this.#answered(reason === undefined ? this.#outcome : `${this.#outcome} ${reason}`);
  }
}
