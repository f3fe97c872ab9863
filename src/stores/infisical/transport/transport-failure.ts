import type { TLSSocket } from 'node:tls';
import { isAxiosError, type AxiosError } from 'axios';
import type { FailureReason } from '../versions/calls';

const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);
const TLS_FAILURE = /CERT|SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO/;

/** The codes of OpenSSL and Node, of which many mean the same to an operator. The first match decides. */
const TLS_REASONS: readonly (readonly [RegExp, FailureReason])[] = [
  [/ALTNAME_INVALID|HOSTNAME_MISMATCH/, 'certificate:wrongHost'],
  [/CERT_HAS_EXPIRED/, 'certificate:expired'],
  [/CERT_NOT_YET_VALID/, 'certificate:notYetValid'],
  [/SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|UNTRUSTED/, 'certificate:unknownAuthority'],
  [/CERT/, 'certificate:refused'],
  [TLS_FAILURE, 'tlsFailed'],
];

/** Returns why no whole answer was received. Nothing else of the foreign error is passed on. */
export function reasonOfTransportFailure(error: unknown): FailureReason {
  if (!isAxiosError(error)) return 'connectionLost';
  const reason = reasonOfCode(error.code ?? '') ?? 'connectionLost';
  return reason !== 'timedOut' && wasConnected(error) ? 'connectionLost' : reason;
}

/**
 * Returns whether the connection was established, so that the request may have been carried out. The codes do not tell, as TLS can
 * fail and a host become unreachable at any time. A TLS socket is authorized once it has accepted the certificate.
 */
function wasConnected({ request, cause }: AxiosError): boolean {
  const { socket } = (request ?? {}) as { readonly socket?: { readonly authorized?: unknown } };
  const { syscall } = (cause ?? {}) as NodeJS.ErrnoException;
  return (
    socket?.authorized === true || (socket?.authorized === undefined && /^(read|write)$/.test(syscall ?? ''))
  );
}

/** Returns whether an aborted call was never written, as it had no connection yet, or one that was not established. */
export function isUnsent(error: unknown): boolean {
  if (!isAxiosError(error)) return false;
  const { request } = error as { readonly request?: { readonly socket?: Partial<TLSSocket> | null } };
  if (request === undefined) return false;
  const { socket } = request;
  return socket == null || socket.connecting === true || (socket as Unsecured).secureConnecting === true;
}

/** A property of Node's TLS sockets that its types lack. */
interface Unsecured {
  readonly secureConnecting?: boolean;
}

/** Returns the reason for a code of Node, OpenSSL or ProxyTunnel. */
function reasonOfCode(code: string): FailureReason | undefined {
  if (NEVER_CONNECTED.has(code)) return 'unreachable';
  if (code === 'PROXY_FAILED') return 'proxyFailed';
  if (code === 'PROXY_REFUSED') return 'proxyRefused';
  if (code === 'ETIMEDOUT') return 'timedOut';
  return TLS_REASONS.find(([pattern]) => pattern.test(code))?.[1];
}

export function isTlsFailure(error: NodeJS.ErrnoException): boolean {
  return TLS_FAILURE.test(error.code ?? '');
}
