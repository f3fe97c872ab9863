import type { ServerResponse } from 'node:http';
import type { WatchEvent } from './fake-objects';

/** One open watch: a chunked answer of JSON lines. */
export class FakeWatch {
  private silent = false;
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly response: ServerResponse,
    readonly bookmarks: boolean,
    private readonly kind: { readonly apiVersion: string; readonly kind: string },
  ) {
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
    response.flushHeaders();
    response.on('close', () => this.undo.splice(0).forEach((each) => each()));
  }

  onClose(run: () => void): void {
    this.undo.push(run);
  }

  send(event: WatchEvent): void {
    this.line(JSON.stringify(event));
  }

  line(text: string): void {
    if (!this.silent) this.response.write(`${text}\n`);
  }

  bookmark(version: number): void {
    const object = { ...this.kind, metadata: { resourceVersion: String(version) } };
    if (this.bookmarks) this.send({ type: 'BOOKMARK', object });
  }

  /** Half-open: the socket stays, nothing comes any more. */
  fallSilent(): void {
    this.silent = true;
  }

  end(): void {
    if (!this.silent) this.response.end();
  }

  drop(): void {
    this.response.socket?.destroy();
  }
}
