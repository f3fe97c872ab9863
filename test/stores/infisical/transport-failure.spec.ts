import { AxiosError, type InternalAxiosRequestConfig } from 'axios';
import { reasonOfTransportFailure } from '../../../src/stores/infisical/transport/transport-failure';

/** As axios throws it: the error of the socket is its cause, the socket itself is in its request. */
function failure(code: string, { syscall, authorized }: { syscall?: string; authorized?: boolean } = {}) {
  const socket = authorized === undefined ? {} : { authorized };
  const error = new AxiosError('canary', code, {} as InternalAxiosRequestConfig, { socket });
  error.cause = Object.assign(new Error('canary'), { code, ...(syscall !== undefined && { syscall }) });
  return error;
}

describe.each(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'])('a call that ended by %s', (code) => {
  it('while it was connecting was never sent', () => {
    expect(reasonOfTransportFailure(failure(code, { syscall: 'connect' }))).toBe('unreachable');
    expect(reasonOfTransportFailure(failure(code, { syscall: 'connect', authorized: false }))).toBe(
      'unreachable',
    );
  });

  it.each(['read', 'write'])('in a %s may have been carried out', (syscall) => {
    expect(reasonOfTransportFailure(failure(code, { syscall }))).toBe('connectionLost');
  });

  it('after TLS was agreed on may have been carried out', () => {
    expect(reasonOfTransportFailure(failure(code, { syscall: 'read', authorized: true }))).toBe(
      'connectionLost',
    );
  });
});

describe('a call whose host has no address', () => {
  it.each(['ENOTFOUND', 'EAI_AGAIN'])('was never sent (%s)', (code) => {
    expect(reasonOfTransportFailure(failure(code, { syscall: 'getaddrinfo' }))).toBe('unreachable');
  });
});

describe('a call that broke in TLS', () => {
  it.each(['EPROTO', 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'])(
    'before the certificate was accepted was never sent (%s)',
    (code) => {
      expect(reasonOfTransportFailure(failure(code, { syscall: 'write', authorized: false }))).toBe(
        'tlsFailed',
      );
    },
  );

  it('after that may have been carried out', () => {
    expect(reasonOfTransportFailure(failure('EPROTO', { authorized: true }))).toBe('connectionLost');
  });
});

describe('a call that ended for another cause', () => {
  it('may have been carried out', () => {
    expect(reasonOfTransportFailure(failure('ECONNRESET', { syscall: 'read' }))).toBe('connectionLost');
    expect(reasonOfTransportFailure(failure('NOBODY_KNOWS'))).toBe('connectionLost');
    expect(reasonOfTransportFailure(new Error('canary'))).toBe('connectionLost');
  });

  it('that ran out of time says so, however far it had come', () => {
    expect(reasonOfTransportFailure(failure('ETIMEDOUT', { syscall: 'read', authorized: true }))).toBe(
      'timedOut',
    );
  });
});
