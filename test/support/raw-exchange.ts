import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** The parsed body; undefined where it is not JSON. */
  readonly body: ReturnType<typeof JSON.parse>;
}

/** Opens a connection to a service, from a local address. */
export function openSocket(url: string, from = '127.0.0.1'): Socket {
  const { port } = new URL(url);
  const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: from });
  return socket.on('error', () => undefined);
}

/**
 * Sends bytes as they are and reads the answers until the service closes the connection or there are so many of them.
 * One that the service closes without an answer has none.
 */
export function rawExchange(url: string, bytes: string, from?: string, wanted = 1): Promise<RawAnswer[]> {
  return new Promise((resolve) => {
    const socket = openSocket(url, from);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (answersIn(text).length >= wanted) socket.destroy();
    });
    socket.on('close', () => resolve(answersIn(text)));
    socket.write(bytes);
  });
}

function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = text; ;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, Math.max(0, headEnd)))?.[1]);
    const end = headEnd + 4 + length;
    if (headEnd < 0 || !(rest.length >= end)) return answers;
    const body = rest.slice(headEnd + 4, end);
    answers.push({ status: Number(rest.split(' ', 2)[1]), body: parsed(body) });
    rest = rest.slice(end);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
