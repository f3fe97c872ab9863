import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { SecretVault } from '../../src/client/index';
import { describeWith, pythonWithBcrypt } from '../support/describe-with';
import { ScriptedServer, type ScriptedAnswer } from './scripted-server';

const FOUND: ScriptedAnswer = {
  status: 200,
  body: { code: 200, message: '', data: { name: 'k', value: 'v', env: 'prod' } },
};
const AWAY: ScriptedAnswer = {
  status: 503,
  body: { code: 503, message: '', data: { reason: 'SHUTTING_DOWN' } },
};
const APP = { workspace: 'ws', appKey: 'fake-key', appSecret: 'fake-secret', userToken: 'fake-user-token' };

describe('the TypeScript client', () => {
  afterEach(() => jest.restoreAllMocks());

  it('uses an access token until it ends where its renewal fails, and the new one once there is one', async () => {
    const server = await ScriptedServer.start([FOUND], ['issue', AWAY, 'issue']);
    const vault = new SecretVault({ url: server.url, ...APP });
    await vault.retrieve('k');
    const startedAtMs = Date.now();
    const now = jest.spyOn(Date, 'now').mockReturnValue(startedAtMs + 250_000);
    // While the renewal is tried again and again.
    for (let reads = 0; reads < 3; reads++) await vault.retrieve('k');
    const tokens = () => server.arrived.map(({ headers }) => headers['x-access-token']);
    expect(tokens()).toEqual(['token-1', 'token-1', 'token-1', 'token-1']);
    now.mockReturnValue(startedAtMs + 301_000);
    await vault.retrieve('k');
    expect(tokens().at(-1)).toBe('token-3');
    await server.close();
  });

  it("gives up at once when its signal aborts while it waits for the user's token", async () => {
    const server = await ScriptedServer.start([FOUND]);
    const aborted = new AbortController();
    const userToken = () => {
      setTimeout(() => aborted.abort(new Error('enough')), 100);
      return new Promise<string>(() => undefined);
    };
    const vault = new SecretVault({ url: server.url, ...APP, userToken });
    const call = vault.retrieve('k', { signal: aborted.signal });
    await expect(call).rejects.toThrow('enough');
    await server.close();
  });
});

describeWith('python3-bcrypt', 'the Python client', () => {
  /** Runs a program that has the module, and `tokens`, whose requests are answered by `post(target, body, headers, is_read)`. */
  function printedBy(program: string): unknown {
    const script = `
import sys, json, threading, time
sys.path.insert(0, sys.argv[1])
import olares_secrets
from olares_secrets import SecretVaultError

def issued(number, seconds=300):
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(olares_secrets.time.time() + seconds))
    return 200, {}, json.dumps({"code": 0, "data": {"access_token": f"token-{number}", "expired_at": ends}})

def tokens_of(post):
    return olares_secrets._AccessTokens(post, "fake-key", "fake-secret", "ws")
${program}`;
    const folder = resolve(__dirname, '../../examples/clients');
    const { stdout, stderr } = spawnSync(pythonWithBcrypt() ?? '', ['-B', '-c', script, folder], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  }

  it('has all threads share one request for an access token, also where it fails', () => {
    const program = `
began = threading.Barrier(5)
posts, reasons = [], []
olares_secrets._pause = lambda retries: 0.2

def post(*request):
    posts.append(request)
    time.sleep(0.2)
    raise olares_secrets._error("UNREACHABLE", "away")

tokens = tokens_of(post)

def call():
    began.wait()
    try:
        tokens.headers("RetrieveSecret")
    except SecretVaultError as error:
        reasons.append(error.reason)

threads = [threading.Thread(target=call) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([len(posts), reasons]))`;
    expect(printedBy(program)).toEqual([5, Array(5).fill('UNREACHABLE')]);
  });

  it('uses an access token until it ends where its renewal fails, and the new one once there is one', () => {
    const program = `
now, posts = [time.time()], []
olares_secrets.time.time = lambda: now[0]

def post(*request):
    posts.append(request)
    if len(posts) == 2:
        raise olares_secrets._error("UNREACHABLE", "away")
    return issued(len(posts))

tokens, sent = tokens_of(post), []
for seconds in (0, 250, 0, 6, 60):
    now[0] += seconds
    sent.append(tokens.headers("RetrieveSecret")["X-Access-Token"])
print(json.dumps([sent, len(posts)]))`;
    expect(printedBy(program)).toEqual([['token-1', 'token-1', 'token-1', 'token-3', 'token-3'], 3]);
  });

  it('asks for an operation that was refused again after a minute also where the clock was set back', () => {
    const program = `
moved = {"time": 0.0, "monotonic": 0.0}
for name in moved:
    real = getattr(time, name)
    setattr(olares_secrets.time, name, lambda name=name, real=real: real() + moved[name])
asked = []

def post(_target, body, *_):
    asked.append(body["perm"]["ops"])
    if len(asked) == 1:
        return 200, {}, json.dumps({"code": 1, "message": "permission required is not allowed: DeleteSecret?workspace=ws"})
    return issued(len(asked))

tokens, sent = tokens_of(post), []
for after in ({}, {"time": -3600.0, "monotonic": 61.0}):
    moved.update(after)
    sent.append(tokens.headers("DeleteSecret")["X-Access-Token"])
print(json.dumps(sent))`;
    expect(printedBy(program)).toEqual(['token-2', 'token-3']);
  });

  it('may be used by several threads, of which one has the token of a file refused while another one reads it', () => {
    const program = `
class Refused(olares_secrets._TokenFiles):
    """Another thread's refused() comes after the headers were read once."""
    _headers = property(lambda self: self.seen.pop(0), lambda self, headers: None)

files = Refused("/none", None)
files.seen, files._read_at = [{"Authorization": "Bearer fake-token"}, None], time.monotonic()
print(json.dumps(files.headers("RetrieveSecret")))`;
    expect(printedBy(program)).toEqual({ Authorization: 'Bearer fake-token' });
  });
});
