import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, type RequestOptions, request as httpsRequest } from 'node:https';
import { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isIP } from 'node:net';
import type { AxiosProxyConfig } from 'axios';
import { isTlsFailure } from './transport-failure';

export interface RouteOptions {
  readonly maxConnections: number;
  /** Returns the PEM of all authorities to trust instead of Node's own list; called before each new connection. */
  readonly authorities?: () => readonly string[];
  /** The proxy for every call: http or https, with credentials if it needs any. Nothing is read from the environment here. */
  readonly proxyUrl?: string;
  readonly tunnelTimeoutMs?: number;
}

/** The connection settings of axios that lead to Infisical. */
export interface TransportRoute {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
  /** For http only: https uses the tunnels of its agent. */
  readonly proxy: AxiosProxyConfig | false;
}

/**
 * When the server closes a connection just as a write is sent on it, the outcome of the write is unknown. Node's servers close
 * idle connections after 5 s, and all others that we know of later.
 */
const MAX_IDLE_MS = 4_000;

/** Shorter than a call, so that a hanging proxy is not taken for an Infisical that may have carried a write out. */
const TUNNEL_TIMEOUT_MS = 5_000;

export function transportRoute(url: string, options: RouteOptions): TransportRoute {
  const pool = { keepAlive: true, maxSockets: options.maxConnections, timeout: MAX_IDLE_MS };
  const proxy = options.proxyUrl === undefined ? undefined : proxyOf(new URL(options.proxyUrl));
  const isTunnelled = new URL(url).protocol === 'https:';
  return {
    httpAgent: new HttpAgent(pool),
    httpsAgent: new VerifyingAgent(pool, options, isTunnelled ? proxy : undefined),
    proxy: proxy === undefined || isTunnelled ? false : proxy,
  };
}

/** Verifies the certificate of each new connection, whatever NODE_TLS_REJECT_UNAUTHORIZED says. */
class VerifyingAgent extends HttpsAgent {
  #context: { readonly of: readonly string[]; readonly context: SecureContext } | undefined;

  constructor(
    pool: ConstructorParameters<typeof HttpsAgent>[0],
    private readonly route: RouteOptions,
    private readonly proxy: AxiosProxyConfig | undefined,
  ) {
    super({ ...pool, rejectUnauthorized: true, maxCachedSessions: 0 });
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const secureContext = this.#secureContext();
    const { proxy, route } = this;
    const target = `${options.host?.includes(':') === true ? `[${options.host}]` : options.host}:${options.port}`;
    const timeoutMs = route.tunnelTimeoutMs ?? TUNNEL_TIMEOUT_MS;
    const more = {
      ...(secureContext !== undefined && { secureContext }),
      ...(proxy !== undefined && { socket: new ProxyTunnel(proxy, target, timeoutMs, secureContext) }),
    };
    return super.createConnection({ ...options, ...more }, callback);
  }

  /** Makes one context for each list of authorities, since parsing all of Node's own takes milliseconds. */
  #secureContext(): SecureContext | undefined {
    const authorities = this.route.authorities?.();
    if (authorities === undefined) return undefined;
    if (this.#context?.of !== authorities)
      this.#context = { of: authorities, context: createSecureContext({ ca: [...authorities] }) };
    return this.#context.context;
  }
}

function proxyOf({ protocol, hostname, port, username, password }: URL): AxiosProxyConfig {
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    ...((username !== '' || password !== '') && {
      auth: { username: decodeURIComponent(username), password: decodeURIComponent(password) },
    }),
  };
}

/** Infisical's samples and clients name the address of its API, with which every route of ours begins anyway. */
const API = /\/api(\/v\d)?$/;

/**
 * Returns the base address of Infisical: with a path prefix, as behind a shared host, but without `/api` at its end.
 * @throws Error for an address that would send the credentials elsewhere
 */
export function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const plain =
    parsed !== undefined && parsed.username === '' && parsed.password === '' && parsed.search === '';
  if (!plain || !/^https?:$/.test(parsed.protocol)) {
    throw new Error('The address of Infisical must be an http or https URL without credentials or query.');
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, '').replace(API, '');
}

/** The proxy did not open the tunnel, so nothing was sent through it. */
class ProxyFailure extends Error {
  constructor(readonly code: 'PROXY_FAILED' | 'PROXY_REFUSED') {
    super(code);
  }
}

/**
 * A connection to the target through the proxy's CONNECT. It exists before the tunnel is open, and writes wait for that, so the
 * agent counts, queues and ends it like any connection that is still being established.
 */
class ProxyTunnel extends Duplex {
  readonly #connect: ClientRequest;
  readonly #timeout: NodeJS.Timeout;
  #opened: Duplex | undefined;
  #onceOpen: ((opened: Duplex) => void) | undefined;

  /**
   * @param proxy its credentials are sent to the proxy only
   * @param target `host:port` behind the proxy; the proxy resolves the name
   * @param timeoutMs the time for opening the tunnel
   * @param secureContext for an https proxy
   */
  constructor(
    { protocol, host, port, auth }: AxiosProxyConfig,
    target: string,
    timeoutMs: number,
    secureContext: SecureContext | undefined,
  ) {
    super();
    this.#connect = (protocol === 'https:' ? httpsRequest : httpRequest)({
      method: 'CONNECT',
      hostname: host,
      // Without it, Node would verify the proxy by the Host header, which names the target.
      servername: isIP(host) === 0 ? host : '',
      port,
      path: target,
      headers: { host: target, ...(auth !== undefined && { 'proxy-authorization': basic(auth) }) },
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

function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
