// Prints the files and named functions of ours that one warm RetrieveSecret on the embedded store enters: `npm run request-path`.
// V8's precise coverage is taken around one request, in the service's own process, over the IPC channel to it.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = join(fileURLToPath(import.meta.url), '../..');
const OURS = `${ROOT}/dist/`;
const WARM_UP_REQUESTS = 20;

// The threads of a process that was started with --import load this file too.
if (process.send === undefined && isMainThread)
  await measure().catch(({ message }) => {
    console.error(message);
    process.exitCode = 1;
  });
else if (isMainThread) await answerOverIpc();

/** In the service's process, before its own code. */
async function answerOverIpc() {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  process.on('message', async (message) => {
    if (message === 'begin')
      await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    const { result } =
      message === 'end' ? await session.post('Profiler.takePreciseCoverage') : { result: undefined };
    process.send(result ?? []);
  });
  process.channel.unref();
}

async function measure() {
  const { default: axios } = await import('axios');
  const folder = mkdtempSync(join(tmpdir(), 'request-path-'));
  const service = spawn(process.execPath, ['--import', import.meta.url, join(ROOT, 'dist/main.js')], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      DATA_DIR: join(folder, 'vault'),
      LOG_FORMAT: 'json',
      NODE_ENV: 'development',
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  try {
    let output = '';
    service.stdout.on('data', (chunk) => (output += chunk));
    const told = async (pattern) => {
      for (let tries = 0; tries < 200; tries++, await pause(50)) {
        const found = pattern.exec(output);
        if (found !== null) return found;
      }
      throw new Error(`The service did not start: ${output}`);
    };
    await told(/"msg":"listening"/);
    const file = join(folder, 'vault/development/headers');
    const [, url, workspace] = await told(/(http:\/\/[^\s'/]+)\/CreateSecret\?workspace=([\w.-]+)/);
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    const headers = Object.fromEntries(lines.map((line) => line.split(': ')));
    const call = async (operation, body) => {
      const answer = await axios.post(`${url}/${operation}?workspace=${workspace}`, body, { headers });
      return answer.status;
    };
    const ask = (message) =>
      new Promise((resolve) => {
        service.once('message', resolve);
        service.send(message);
      });
    await call('CreateSecret', { name: 'path', value: 'x', env: 'dev' });
    for (let n = 0; n < WARM_UP_REQUESTS; n++) await call('RetrieveSecret', { name: 'path', env: 'dev' });
    await ask('begin');
    await ask('end');
    const status = await call('RetrieveSecret', { name: 'path', env: 'dev' });
    const entered = (await ask('end'))
      .map(({ url: script, functions }) => ({
        file: script.replace(/^file:\/\//, ''),
        functions: functions.filter(({ functionName, ranges }) => functionName !== '' && ranges[0].count > 0),
      }))
      .filter(({ file: script, functions }) => script.startsWith(OURS) && functions.length > 0);
    await call('DeleteSecret', { name: 'path', env: 'dev' });
    for (const { file: script, functions } of entered)
      console.log(
        `${script.slice(OURS.length)}: ${functions.map(({ functionName }) => functionName).join(', ')}`,
      );
    const count = entered.reduce((sum, { functions }) => sum + functions.length, 0);
    console.log(
      `One warm RetrieveSecret (${status}) enters ${entered.length} files and ${count} named functions.`,
    );
  } finally {
    service.kill('SIGKILL');
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
  }
}
