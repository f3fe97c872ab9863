import { isIPv6 } from 'node:net';

/** The address of a service on this machine; an IPv6 host stands in brackets. */
export function urlOf(host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
