import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { isTlsFailure } from './transport-failure';

export interface TunnelOptions {
  /** http or https, with credentials if the proxy needs any; they are sent to the proxy only. */
  readonly proxy: URL;
  /** `host:port` behind the proxy; the proxy resolves the name. */
  readonly target: string;
  /** The time for opening the tunnel. */
  readonly timeoutMs: number;
  /** For an https proxy. */
  readonly secureContext: SecureContext | undefined;
}

/** The proxy did not open the tunnel, so nothing was sent through it. */
export class ProxyFailure extends Error {
  constructor(readonly code: 'PROXY_FAILED' | 'PROXY_REFUSED') {
    super(code);
  }
}

/**
 * A connection to the target through the proxy's CONNECT. It exists before the tunnel is open, and writes wait for that, so the
 * agent counts, queues and ends it like any connection that is still being established.
 */
export class ProxyTunnel extends Duplex {
  readonly #connect: ClientRequest;
  readonly #timeout: NodeJS.Timeout;
  #opened: Duplex | undefined;
  #onceOpen: ((opened: Duplex) => void) | undefined;

  constructor({ proxy, target, timeoutMs, secureContext }: TunnelOptions) {
    super();
    const hostname = proxy.hostname.replace(/^\[|\]$/g, '');
    this.#connect = (proxy.protocol === 'https:' ? httpsRequest : httpRequest)({
      method: 'CONNECT',
      hostname,
      // Without it, Node would verify the proxy by the Host header, which names the target.
      servername: isIP(hostname) === 0 ? hostname : '',
      port: proxy.port,
      path: target,
      headers: { host: target, ...authorizationFor(proxy) },
      agent: false,
      rejectUnauthorized: true,
      ...(secureContext !== undefined && { secureContext }),
    });
    this.#connect.once('connect', (answer, socket, head) => this.#open(answer, socket, head));
    this.#connect.on('error', (error) =>
      this.destroy(isTlsFailure(error) ? error : new ProxyFailure('PROXY_FAILED')),
    );
    this.#timeout = setTimeout(() => this.destroy(new ProxyFailure('PROXY_FAILED')), timeoutMs);
    this.#connect.end();
  }

  #open({ statusCode = 0 }: IncomingMessage, socket: Duplex, head: Buffer): void {
    clearTimeout(this.#timeout);
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    this.#opened = socket;
    if (statusCode < 200 || statusCode > 299) {
      this.destroy(new ProxyFailure(statusCode >= 500 ? 'PROXY_FAILED' : 'PROXY_REFUSED'));
      return;
    }
    if (head.length > 0) socket.unshift(head);
    socket.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    this.#onceOpen?.(socket);
  }

  override _read(): void {
    this.#opened?.resume();
  }

  override _write(bytes: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#whenOpen((opened) => void opened.write(bytes, encoding, done));
  }

  override _final(done: () => void): void {
    this.#whenOpen((opened) => void opened.end(done));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timeout);
    this.#connect.destroy();
    this.#opened?.destroy();
    done(error);
  }

  /** Runs `act` once the tunnel is open. Node has one write or end under way at a time, so one pending call is enough. */
  #whenOpen(act: (opened: Duplex) => void): void {
    if (this.#opened === undefined) this.#onceOpen = act;
    else act(this.#opened);
  }
}

function authorizationFor(proxy: URL): Readonly<Record<string, string>> {
  if (proxy.username === '' && proxy.password === '') return {};
  const [user, password] = [decodeURIComponent(proxy.username), decodeURIComponent(proxy.password)];
  return { 'proxy-authorization': `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}
