/** Said by name, since the service listens on another address too. */
export class AddressUnusable extends Error {
  constructor(code: string) {
    super(`METRICS_HOST and METRICS_PORT name an address that cannot be listened on (${code}).`);
    this.name = 'AddressUnusable';
  }
}
