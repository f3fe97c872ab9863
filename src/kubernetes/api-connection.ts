import type { RequestOptions } from 'node:https';

/** Where the API server is, and what every request to it needs: CA, certificates, our own token. */
export interface ApiConnection {
  /** `https://host:port`, without a trailing slash. */
  readonly server: string;
  /** Asked for each request: the kubelet renews our token every hour. */
  options(): Promise<RequestOptions>;
}
