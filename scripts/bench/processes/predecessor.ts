import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { serve } from './handlers';
import type { PredecessorRead } from './infisical-server';
import type { Call } from './load-generator';

/** Greeting, two messages of the password's proof, two queries; before them, the connection. */
const DATABASE_MESSAGES = ['startup', 'password', 'proof', 'query', 'query'];

const agent = new Agent({ keepAlive: true });

/** Nine exchanges for one secret, one after the other: six with the database, on a new connection, and three over HTTP. */
async function read({ databasePort, calls }: PredecessorRead): Promise<number> {
  const startMs = performance.now();
  const database = connect(databasePort, '127.0.0.1');
  await once(database, 'connect');
  for (const message of DATABASE_MESSAGES) {
    database.write(`${message}\n`);
    await once(database, 'data');
  }
  for (const call of calls) await succeed(call);
  database.destroy();
  return performance.now() - startMs;
}

async function succeed({ url, method, headers }: Call): Promise<void> {
  const sent = request(url, { method, headers, agent });
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.resume();
  await once(answer, 'end');
  if (answer.statusCode !== 200) throw new Error(`${method} ${url}: ${answer.statusCode}`);
}

const handlers = { read };
export type Predecessor = typeof handlers;

serve(handlers);
