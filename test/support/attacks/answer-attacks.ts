import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import {
  AttackConnections,
  head,
  post,
  type AttackingApp,
  type Outcomes,
  type Target,
} from './attack-connection';

/** Sends a request on so many connections and reads no answer. A connection that the service closes is opened again. */
async function unread(
  target: Target,
  count: number,
  request: (app: AttackingApp) => string,
  apps: readonly AttackingApp[] = target.apps,
): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const client = async (_: unknown, at: number): Promise<void> => {
    await pause(at * 5);
    while (all.isRunning) {
      const connection = await all.connect({ reads: false });
      const app = apps[at % apps.length];
      if (connection === undefined || app === undefined) {
        await pause(200);
        continue;
      }
      await connection.send(request(app));
      all.count('asked');
      while (all.isRunning && connection.isOpen) await pause(100);
      if (!connection.isOpen) all.count('closed');
      connection.end();
      await pause(50);
    }
  };
  await Promise.all(Array.from({ length: count }, client));
  return all.end();
}

const list = ({ workspace, headers }: AttackingApp): string =>
  post(`/ListSecret?workspace=${workspace}`, headers, '{}');
const retrieve = ({ workspace, headers }: AttackingApp): string =>
  post(`/RetrieveSecret?workspace=${workspace}`, headers, '{"name":"s0"}');

/** Eighty lists of one app that it does not read. */
export const unreadLists = (target: Target): Promise<Outcomes> =>
  unread(target, 80, list, target.apps.slice(0, 1));

/** The same by several apps. */
export const unreadListsOfManyApps = (target: Target): Promise<Outcomes> => unread(target, 80, list);

/** Answers that are small enough to leave the service, and stay in the kernel's buffers. */
export const unreadValues = (target: Target): Promise<Outcomes> => unread(target, 1_500, retrieve);

/** Many pipelined requests for lists on each of a few connections, whose answers are not read. */
export const pipelinedUnreadLists = (target: Target): Promise<Outcomes> =>
  unread(target, 10, (app) => list(app).repeat(30));

/** Thousands of pipelined requests on each connection that are refused, whose answers are not read. */
export const unreadRefusals = (target: Target): Promise<Outcomes> =>
  unread(target, 50, () => head('POST', '/ListSecret?workspace=w').repeat(5_000));

/** The largest file of the page of the API, which anybody may ask for, unread. */
export const unreadDocuments = (target: Target): Promise<Outcomes> =>
  unread(target, 200, () => head('GET', '/docs/swagger-ui-bundle.js'));

/** Requests behind a large value on a connection that its client keeps half open when the service has ended its side. */
export async function requestsBehindAValue(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const [app] = target.apps;
  await all.repeat(4, async () => {
    const connection = await all.connect({ halfOpen: true });
    if (connection === undefined || app === undefined) return pause(200);
    const answered = once(connection.socket, 'end').catch(() => undefined);
    await connection.send(retrieve(app));
    await Promise.race([answered, pause(1_000, undefined, { ref: false })]);
    const requests = head('GET', '/livez').repeat(200);
    while (all.isRunning && connection.isOpen) await Promise.race([connection.send(requests), pause(200)]);
    all.count('closed');
    connection.end();
  });
  return all.end();
}

/** Lists that are read a little at a time. */
export async function slowlyReadLists(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const client = async (_: unknown, at: number): Promise<void> => {
    await pause(at * 5);
    while (all.isRunning) {
      const connection = await all.connect({ reads: false });
      const app = target.apps[at % target.apps.length];
      if (connection === undefined || app === undefined) {
        await pause(200);
        continue;
      }
      await connection.send(list(app));
      all.count('asked');
      while (all.isRunning && connection.isOpen) {
        await pause(500);
        // Reads one chunk of what the kernel has buffered.
        connection.socket.once('data', () => connection.socket.pause());
        connection.socket.resume();
      }
      connection.end();
    }
  };
  await Promise.all(Array.from({ length: 80 }, client));
  return all.end();
}

/**
 * Clients of one app that take all of its capacity and disconnect: some at once, some while their credentials are verified, some while
 * the store works.
 */
export async function disconnectingClients(target: Target): Promise<Outcomes> {
  const all = new AttackConnections(target);
  const apps = target.apps.filter(({ workspace }) => workspace === target.apps[0]?.workspace);
  let turn = 0;
  await all.repeat(200, async (worker) => {
    const app = apps[turn++ % apps.length];
    const connection = await all.connect();
    if (connection === undefined || app === undefined) return pause(50);
    await connection.send(worker % 8 === 0 ? list(app) : retrieve(app));
    await pause([0, 1, 5, 50, 200, 300][turn % 6] ?? 0);
    if (worker % 2 === 0) connection.reset();
    else connection.end();
    all.count('left');
    await pause(200);
  });
  return all.end();
}
