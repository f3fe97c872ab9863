import type { TLSSocket } from 'node:tls';
import { isAxiosError, type AxiosError } from 'axios';
import type { FailureReason } from '../versions/failure-reason';

const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);
const TLS_FAILURE = /CERT|SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO/;

/** In the order in which they are tried: the codes of OpenSSL and Node, of which many mean the same to an operator. */
const TLS_REASONS: readonly (readonly [RegExp, FailureReason])[] = [
  [/ALTNAME_INVALID|HOSTNAME_MISMATCH/, 'certificate:wrongHost'],
  [/CERT_HAS_EXPIRED/, 'certificate:expired'],
  [/CERT_NOT_YET_VALID/, 'certificate:notYetValid'],
  [/SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|UNTRUSTED/, 'certificate:unknownAuthority'],
  [/CERT/, 'certificate:refused'],
  [TLS_FAILURE, 'tlsFailed'],
];

/** Why no whole answer came; the foreign error ends here. */
export function reasonOfTransportFailure(error: unknown): FailureReason {
  if (!isAxiosError(error)) return 'connectionLost';
  const reason = reasonOfCode(error.code ?? '') ?? 'connectionLost';
  return reason !== 'timedOut' && wasConnected(error) ? 'connectionLost' : reason;
}

/**
 * Whether the connection stood, so that the request may have been carried out: the codes do not tell, as TLS can break
 * and a host become unreachable at any time. A TLS socket is authorized once it has accepted the certificate.
 */
function wasConnected({ request, cause }: AxiosError): boolean {
  const { socket } = (request ?? {}) as { readonly socket?: { readonly authorized?: unknown } };
  const { syscall } = (cause ?? {}) as NodeJS.ErrnoException;
  return (
    socket?.authorized === true || (socket?.authorized === undefined && /^(read|write)$/.test(syscall ?? ''))
  );
}

/** Whether a call that was cut off was never written, as it had no connection yet, or one that did not stand. */
export function isUnsent(error: unknown): boolean {
  if (!isAxiosError(error)) return false;
  const { request } = error as { readonly request?: { readonly socket?: Partial<TLSSocket> | null } };
  if (request === undefined) return false;
  const { socket } = request;
  return socket == null || socket.connecting === true || (socket as Unsecured).secureConnecting === true;
}

/** As Node has it, and its types do not. */
interface Unsecured {
  readonly secureConnecting?: boolean;
}

/** What a code of Node's, OpenSSL's or the tunnel's means. */
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
