import { TLSSocket } from 'node:tls';
import type { NextFunction, Request, Response } from 'express';
import { Unauthenticated } from '../../errors/authn-errors';
import { isProbe } from '../request/provider-request';

/**
 * Lets in only whose client certificate is for one of the subjects, `CN=…`, `DNS=…` or `URI=…` each; without a list,
 * everybody. The handshake has verified the certificate; the other credentials are asked for as ever.
 */
export class ClientSubjects {
  constructor(private readonly allowed: readonly string[] | undefined) {}

  readonly middleware = (request: Request, _response: Response, next: NextFunction): void => {
    // The probes say nothing that needs a name; on the metrics port they come without TLS.
    const isLetIn = isProbe(request) || this.allows(request.socket);
    next(isLetIn ? undefined : new Unauthenticated('client certificate'));
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
  /** A list where the certificate has several; such a one is nobody in particular. */
  readonly subject: { readonly CN?: string | readonly string[] };
  readonly subjectaltname: string;
}

/** Of `DNS:a, URI:b`. A name that could be taken for two comes as a JSON string, which no subject of ours is. */
function alternativeNames(text: string): readonly string[] {
  return [...text.matchAll(/(?:^|, )([^:,"]+):("(?:\\.|[^"\\])*"|[^,"]*)/gy)]
    .filter(([, kind]) => kind === 'DNS' || kind === 'URI')
    .map(([, kind = '', name = '']) => `${kind}=${name}`);
}
