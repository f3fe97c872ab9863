import type { ServerResponse } from 'node:http';
import type { WatchEvent } from './fake-objects';

/**
 * One open watch: a chunked answer of JSON lines. It tells of what is newer than `version`, and of nothing else, as a real
 * server does: one that was asked for a future version stays open, silent, until it ends in order.
 */
export class FakeWatch {
  private silent = false;
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly response: ServerResponse,
    readonly bookmarks: boolean,
    private readonly kind: { readonly apiVersion: string; readonly kind: string },
    /** The newest version that its client has. */
    private version: number,
  ) {
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
    response.flushHeaders();
    response.on('close', () => this.undo.splice(0).forEach((each) => each()));
  }

  onClose(run: () => void): void {
    this.undo.push(run);
  }

  send(event: WatchEvent, version = Infinity): void {
    if (version <= this.version) return;
    if (version < Infinity) this.version = version;
    this.line(JSON.stringify(event));
  }

  line(text: string): void {
    if (!this.silent) this.response.write(`${text}\n`);
  }

  bookmark(version: number): void {
    const object = { ...this.kind, metadata: { resourceVersion: String(version) } };
    if (this.bookmarks) this.send({ type: 'BOOKMARK', object }, version);
  }

  /** Makes the watch half-open: the socket stays, and nothing is sent any more. */
  fallSilent(): void {
    this.silent = true;
  }

  end(): void {
    if (!this.silent) this.response.end();
    this.silent = true;
  }

  drop(): void {
    this.response.socket?.destroy();
  }
}
