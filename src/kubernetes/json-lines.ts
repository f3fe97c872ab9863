import { StringDecoder } from 'node:string_decoder';
import { KubernetesFailure } from './kubernetes-failure';

/** etcd holds objects of 1.5 MiB at most. */
const MAX_LINE_LENGTH = 8 * 1024 * 1024;

/** Cuts a stream of bytes into JSON values, one a line. A line that is not JSON is a failure, never skipped. */
export class JsonLines {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  constructor(private readonly onValue: (value: unknown) => void) {}

  /** @throws KubernetesFailure */
  write(bytes: Buffer): void {
    const lines = (this.rest + this.decoder.write(bytes)).split('\n');
    this.rest = lines.pop() ?? '';
    if (this.rest.length > MAX_LINE_LENGTH) throw new KubernetesFailure('TooLarge');
    for (const line of lines) if (line.trim() !== '') this.onValue(parseJson(line));
  }

  /** @throws KubernetesFailure where the stream ended inside a line */
  end(): void {
    if (this.rest.trim() !== '') throw new KubernetesFailure('Truncated');
  }
}

/** @throws KubernetesFailure; the parser's error would quote the text */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new KubernetesFailure('MalformedAnswer');
  }
}
