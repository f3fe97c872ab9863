import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext } from 'node:tls';
import { ProxyTunnel } from './proxy-tunnel';

export interface RouteOptions {
  readonly maxConnections: number;
  /** Returns the PEM of all authorities to trust instead of Node's own list; called before each new connection. */
  readonly authorities?: () => readonly string[];
  /** The proxy for every call: http or https, with credentials if it needs any. Nothing is read from the environment here. */
  readonly proxyUrl?: string;
  /** The time for opening a tunnel. */
  readonly tunnelTimeoutMs?: number;
}

/** A forwarding proxy, as axios takes it. */
export interface ForwardingProxy {
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
  readonly auth?: { readonly username: string; readonly password: string };
}

/** The connection settings of axios that lead to Infisical. */
export interface TransportRoute {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
  /** For http only: https uses the tunnels of its agent. */
  readonly proxy: ForwardingProxy | false;
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
  const proxy = options.proxyUrl === undefined ? undefined : new URL(options.proxyUrl);
  const isTunnelled = new URL(url).protocol === 'https:';
  return {
    httpAgent: new HttpAgent(pool),
    httpsAgent: new VerifyingAgent(pool, options, isTunnelled ? proxy : undefined),
    proxy: proxy === undefined || isTunnelled ? false : forwardingProxy(proxy),
  };
}

/** Verifies the certificate of each new connection, whatever NODE_TLS_REJECT_UNAUTHORIZED says. */
class VerifyingAgent extends HttpsAgent {
  #context: { readonly of: readonly string[]; readonly context: SecureContext } | undefined;

  constructor(
    pool: ConstructorParameters<typeof HttpsAgent>[0],
    private readonly route: RouteOptions,
    private readonly proxy: URL | undefined,
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
      ...(proxy !== undefined && { socket: new ProxyTunnel({ proxy, target, timeoutMs, secureContext }) }),
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

function forwardingProxy(proxy: URL): ForwardingProxy {
  const { protocol, username, password } = proxy;
  return {
    protocol,
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: Number(proxy.port === '' ? (protocol === 'https:' ? 443 : 80) : proxy.port),
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
