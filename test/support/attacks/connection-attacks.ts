import { setTimeout as pause } from 'node:timers/promises';
import { AttackConnections, FORGED_CREDENTIALS, head, type AttackConnection, type Outcomes, type Target } from './attack-connection'; // prettier-ignore

const JSON_BODY = { 'Content-Type': 'application/json' };
const LARGE = 3 * 1024 * 1024;
/** Nearly the largest body that the service accepts where no value is stored. */
const SMALL = 63 * 1024;

/** Keeps so many connections open and sends `begin` on each. A connection that the service closes is opened again. */
async function occupy(
  target: Target,
  count: number,
  begin: (connection: AttackConnection, at: number) => Promise<void>,
  drip?: { readonly everyMs: number; readonly bytes: string },
): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const client = async (_: unknown, at: number): Promise<void> => {
    // They do not all connect at the same moment.
    await pause((at % 50) * 2);
    while (all.isRunning) {
      const connection = await all.connect();
      if (connection === undefined) {
        await pause(200);
        continue;
      }
      await begin(connection, at);
      while (all.isRunning && connection.isOpen) {
        await pause(drip?.everyMs ?? 100);
        if (drip !== undefined) await connection.send(drip.bytes);
      }
      connection.end();
      await pause(50);
    }
  };
  await Promise.all(Array.from({ length: count }, client));
  return all.end();
}

/** Requests that announce a body of one byte and never send it, with no, forged and valid credentials. */
export function missingBodies(target: Target): Promise<Outcomes> {
  const credentials = [{}, FORGED_CREDENTIALS, ...target.apps.map(({ headers }) => headers)];
  return occupy(target, 500, async (connection, at) => {
    connection.expectAnswer();
    const app = target.apps[0]?.workspace ?? 'w';
    await connection.send(
      head('POST', `/RetrieveSecret?workspace=${app}`, { ...JSON_BODY, 'Content-Length': 1, ...credentials[at % credentials.length] }), // prettier-ignore
    );
  });
}

/** The same in chunks: the head announces no length, and the first chunk never ends. */
export function missingChunks(target: Target): Promise<Outcomes> {
  return occupy(target, 500, async (connection) => {
    connection.expectAnswer();
    await connection.send(
      `${head('POST', '/permission/v1alpha1/access', { ...JSON_BODY, 'Transfer-Encoding': 'chunked' })}ff\r\n{`,
    );
  });
}

/** Twelve bodies of 3 MiB that arrive in small parts. */
export function drippingBodies(target: Target): Promise<Outcomes> {
  return occupy(
    target,
    12,
    async (connection) => {
      connection.expectAnswer();
      await connection.send(
        `${head('POST', '/CreateSecret?workspace=w', { ...JSON_BODY, 'Content-Length': LARGE })}{"value":"`,
      );
    },
    { everyMs: 200, bytes: 'x'.repeat(512) },
  );
}

/** The same by an app with valid credentials, which sends most of the body at once. */
export function drippingBodiesOfAnApp(target: Target): Promise<Outcomes> {
  const app = target.apps[0];
  return occupy(
    target,
    60,
    async (connection) => {
      connection.expectAnswer();
      await connection.send(
        `${head('POST', `/CreateSecret?workspace=${app?.workspace}`, { ...JSON_BODY, ...app?.headers, 'Content-Length': LARGE })}{"value":"${'x'.repeat(LARGE - 64 * 1024)}`,
      );
    },
    { everyMs: 500, bytes: 'x' },
  );
}

/** Connections that send one request and then nothing. */
export function idleConnections(target: Target): Promise<Outcomes> {
  return occupy(target, 2_000, async (connection) => {
    await connection.ask(head('GET', '/livez'));
  });
}

/** Connections that never send anything. */
export function silentConnections(target: Target): Promise<Outcomes> {
  return occupy(target, 2_000, async () => undefined);
}

/** The same on the port of the metrics, where the kubelet asks for probes. */
export function silentHealthConnections(target: Target): Promise<Outcomes> {
  return occupy({ ...target, port: target.metricsPort }, 200, async () => undefined);
}

/** Bodies to a probe that never end. */
export function unfinishedProbeBodies(target: Target): Promise<Outcomes> {
  return occupy(target, 1_900, async (connection) => {
    connection.expectAnswer();
    await connection.send(
      head('POST', '/livez', { ...JSON_BODY, 'Content-Length': SMALL + 1 }) + ' '.repeat(SMALL),
    );
  });
}

/** Bodies to the public access route that never end. */
export function unfinishedPublicBodies(target: Target): Promise<Outcomes> {
  return occupy(target, 1_900, async (connection) => {
    connection.expectAnswer();
    await connection.send(
      head('POST', '/permission/v1alpha1/access', { ...JSON_BODY, 'Content-Length': SMALL + 1 }) +
        ' '.repeat(SMALL),
    );
  });
}

/** Heads that arrive one byte at a time. */
export function slowHeads(target: Target): Promise<Outcomes> {
  return occupy(
    target,
    1_000,
    async (connection) => {
      connection.expectAnswer();
      await connection.send(`POST /CreateSecret HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(8_000)}`);
    },
    { everyMs: 1_000, bytes: 'a' },
  );
}

/** Connections that are opened and closed as fast as possible. */
export async function briefConnections(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  await all.repeat(20, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(20);
    connection.reset();
    all.count('opened');
  });
  return all.end();
}

/** Many pipelined requests on each connection, without reading the answers. */
export async function pipelinedRequests(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const requests = [
    head('GET', '/livez'),
    head('POST', '/ListSecret?workspace=w', FORGED_CREDENTIALS),
    head('GET', '/nothing'),
    head('POST', '/permission/v1alpha1/access', { 'Content-Length': 0 }),
  ];
  const burst = Array.from({ length: 1_000 }, (_, at) => requests[at % requests.length]).join('');
  await all.repeat(20, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(20);
    for (let at = 0; at < 1_000; at++) connection.expectAnswer();
    await connection.send(burst);
    for (const endMs = performance.now() + 3_000; connection.isOpen && all.isRunning;) {
      await pause(20);
      if (performance.now() > endMs) break;
    }
    connection.end();
  });
  return all.end();
}

/** Clients that end their half of the connection at once and wait for the answer. */
export async function halfClosedConnections(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const client = async (): Promise<void> => {
    while (all.isRunning) {
      const connection = await all.connect({ halfOpen: true });
      if (connection === undefined) {
        await pause(200);
        continue;
      }
      connection.expectAnswer();
      await connection.send(
        head('POST', '/permission/v1alpha1/access', { ...JSON_BODY, 'Content-Length': 100 }),
      );
      connection.socket.end();
      while (all.isRunning && connection.isOpen) await pause(100);
    }
  };
  await Promise.all(Array.from({ length: 1_000 }, client));
  return all.end();
}

/** With TLS: handshakes that are begun and never continued. */
export function stalledHandshakes(target: Target): Promise<Outcomes> {
  const clientHello = Buffer.from('16030100c8010000c40303', 'hex');
  return occupy({ ...target, tls: false }, 1_900, async (connection) => connection.send(clientHello));
}

/** With TLS: handshakes without a request; each costs the service a signature. */
export async function handshakes(target: Target): Promise<Outcomes> {
  const all = new AttackConnections({ ...target, tls: true });
  await all.repeat(20, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(20);
    all.count('handshake');
    connection.reset();
  });
  return all.end();
}
