import { setTimeout as pause } from 'node:timers/promises';
import { AttackConnections, post, type Outcomes, type Target } from './attack-connection';

const VALUE_BYTES = 512 * 1024;

/** An app stores as many large values as its rate limits allow, and then lists them repeatedly. */
export async function storeLargeValues(target: Target): Promise<Outcomes> {
  const [app] = target.apps;
  const all = new AttackConnections(target);
  if (app === undefined) return all.end();
  const { workspace, headers } = app;
  const value = 'x'.repeat(VALUE_BYTES);
  const untilMs = performance.now() + target.seconds * 800;
  const began = Date.now().toString(36);
  let next = 0;
  let isFull = false;
  const ask = async (request: string): Promise<string> => {
    const connection = await all.connect();
    if (connection === undefined) return pause(100, 'refused');
    const outcome = await Promise.race([
      connection.ask(request),
      pause(20_000, 'unanswered', { ref: false }),
    ]);
    connection.end();
    return outcome;
  };
  const writer = async (): Promise<void> => {
    while (!isFull && next < 300 && performance.now() < untilMs) {
      const body = JSON.stringify({ name: `large-${began}-${next++}`, value });
      const outcome = await ask(post(`/CreateSecret?workspace=${workspace}`, headers, body));
      if (outcome.startsWith('507')) isFull = true;
      else if (outcome !== '200') await pause(200);
    }
  };
  await Promise.all([writer(), writer(), writer(), writer()]);
  await all.repeat(4, async () => {
    await ask(post(`/ListSecret?workspace=${workspace}`, headers, '{}'));
    await pause(50);
  });
  return all.end();
}

/** An app stores as many small secrets as its rate limits allow, in all environments. */
export async function manySmallSecrets(target: Target): Promise<Outcomes> {
  const [app] = target.apps;
  const all = new AttackConnections(target);
  if (app === undefined) return all.end();
  const envs = ['dev', 'test', 'staging', 'prod'];
  const began = Date.now().toString(36);
  let next = 0;
  await all.repeat(20, async () => {
    const connection = await all.connect();
    if (connection === undefined) return pause(50);
    const name = `small-${began}-${next++}`;
    const body = JSON.stringify({ name, value: '', env: envs[next % envs.length] });
    const outcome = await connection.ask(post(`/CreateSecret?workspace=${app.workspace}`, app.headers, body));
    connection.end();
    if (outcome !== '200') await pause(50);
  });
  return all.end();
}
