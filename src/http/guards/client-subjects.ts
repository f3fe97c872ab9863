import { TLSSocket } from 'node:tls';
import type { NextFunction, Request, Response } from 'express';
import { Unauthenticated } from '../../errors/authn-errors';
import { isProbe } from '../request/provider-request';

/**
 * Refuses requests whose client certificate has none of the allowed subjects, `CN=…`, `DNS=…` or `URI=…` each; without a
 * list it refuses nothing. The handshake has verified the certificate; all other credentials are still required.
 */
export class ClientSubjects {
  constructor(private readonly allowed: readonly string[] | undefined) {}

  readonly middleware = (request: Request, _response: Response, next: NextFunction): void => {
    // Probes are public, and come without TLS on the metrics port.
    const isAllowed = isProbe(request) || this.allows(request.socket);
    next(isAllowed ? undefined : new Unauthenticated('client certificate'));
  };

  private allows(socket: unknown): boolean {
    if (this.allowed === undefined) return true;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
    return subjectsOf(socket).some((subject) => this.allowed?.includes(subject));
  }
}

function subjectsOf(socket: TLSSocket): readonly string[] {
  const { subject, subjectaltname = '' } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  const name = subject?.CN;
  return [...(typeof name === 'string' ? [`CN=${name}`] : []), ...alternativeNames(subjectaltname)];
}

interface PeerCertificate {
  /** A list where the certificate has several common names; then none of them counts. */
  readonly subject: { readonly CN?: string | readonly string[] };
  readonly subjectaltname: string;
}

/** Returns the names in `DNS:a, URI:b`. Node writes a name that could be read as two as a JSON string, which matches no subject. */
function alternativeNames(text: string): readonly string[] {
  return [...text.matchAll(/(?:^|, )([^:,"]+):("(?:\\.|[^"\\])*"|[^,"]*)/gy)]
    .filter(([, kind]) => kind === 'DNS' || kind === 'URI')
    .map(([, kind = '', name = '']) => `${kind}=${name}`);
}
