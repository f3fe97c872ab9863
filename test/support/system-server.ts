import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { httpCall } from './http-call';

/** The app whose access token system-server received. */
export interface KnownApp {
  readonly appKey: string;
  readonly user: string;
}

/**
 * system-server of one user as its published source has it (contract, section 5.1): it takes an app's call, posts a
 * ProxyRequest to the provider without the query, and wraps the answer.
 */
export class SystemServer {
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(provider: string, app: KnownApp): Promise<SystemServer> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const [, op = ''] =
          /^\/system-server\/v1alpha1\/secret\/secret\.infisical\/v1\/(.+)$/.exec(request.url ?? '') ?? [];
        const [path = ''] = op.split('?');
        const data: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
        const body = {
          op,
          datatype: 'secret',
          version: 'v1',
          group: 'secret.infisical',
          appkey: app.appKey,
          param: {},
          data,
          Token: request.headers['x-access-token'],
        };
        const headers = {
          'x-authorization': String(request.headers['x-authorization'] ?? ''),
          'x-bfl-user': app.user,
          'terminus-nonce': '6c8cf1a6-3a2b-4f0e-8d0b-1f0f7f9f2f7e',
        };
        void httpCall(`${provider}/${path}`, { body, headers }).then((answer) => {
          const wrapped =
            answer.status >= 400
              ? {
                  code: 1,
                  message: `invoke provider err: code ${answer.status}, ${JSON.stringify(answer.body)}`,
                }
              : { code: 0, message: 'success', data: answer.body };
          response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(wrapped));
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new SystemServer(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
