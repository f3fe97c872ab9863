import inspector, { type Runtime } from 'node:inspector';
import axios from 'axios';
import { GrantsService } from '../../../src/authz/grants.service';
import { UNATTENDED } from '../../../src/secrets/secret';
import { SecretsService } from '../../../src/secrets/secrets.service';
import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { QuotaSecretStore } from '../../../src/stores/quota/quota.secret-store';
import { resilientStore } from '../../../src/stores/resilience/concurrency-limit.secret-store';
import { SystemMonotonicTime } from '../../../src/time/clock';
import { StoreClient } from '../../support/store-client';
import { at, openStore } from './opened-store';
import { FixedGrantSource } from '../../support/fixed-grant-source';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';

const MAX_FRAMES = 12;
const MAX_CLOSURES = 2;
const BOUNDS = { secrets: 1_000, bytes: 1_000_000 };
const CACHE = { maxEntries: 10, maxBytes: 1_000_000, ttlMs: 30_000, maxStaleMs: 60_000 };
const NOTES = { app: 'notes', user: 'alice', appKey: 'k', appSecret: 's', ops: ['RetrieveSecret', 'ListSecret'] }; // prettier-ignore

/**
 * Returns our functions that wait for a call when it is made, the innermost first. The inspector names also those that returned a promise
 * of another one without awaiting it, which the stack of an error leaves out.
 */
function framesOf(stack: Runtime.StackTrace | undefined): readonly string[] {
  const frames = new Set<string>();
  for (let at = stack; at !== undefined; at = at.parent)
    for (const { functionName, url, lineNumber } of at.callFrames)
      if (url.includes('/src/'))
        frames.add(`${functionName || `line.${lineNumber}`} ${url.split('/src/')[1] ?? ''}`);
  return [...frames];
}

describe('a cold read of a known project', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it.each(['retrieve', 'list'] as const)(
    'enters at most twelve of our functions between the use-case %s and axios, two of them closures',
    async (operation) => {
      const session = new inspector.Session();
      session.connect();
      session.post('Runtime.enable');
      session.post('Debugger.enable');
      session.post('Debugger.setAsyncCallStackDepth', { maxDepth: 100 });
      const stacks: (Runtime.StackTrace | undefined)[] = [];
      session.on('Runtime.consoleAPICalled', ({ params }) => stacks.push(params.stackTrace));
      const adapter = axios.getAdapter('http');
      jest.spyOn(axios, 'getAdapter').mockReturnValue((config) => {
        inspector.console.trace('to see the stack');
        return adapter(config);
      });
      const { store: inner } = await openStore({ apiVersion: 'v3' });
      const time = new SystemMonotonicTime();
      const resilient = resilientStore(inner.store, 20_000, { time, log: () => undefined });
      const cached = new CachedSecretStore(resilient, CACHE, {
        time,
        invalidationBus: new NoInvalidationBus(),
      });
      const store = new QuotaSecretStore(cached, { workspace: BOUNDS, user: BOUNDS }, { time });
      const secrets = new SecretsService(new GrantsService(new FixedGrantSource([NOTES])), store);
      const scope = at('notes');
      await new StoreClient(inner.store).create(scope, { name: 'k', value: 'v' });
      stacks.length = 0;
      const caller = { app: 'notes', user: 'alice', operations: 'any' } as const;
      if (operation === 'retrieve') await secrets.retrieve(caller, scope, 'k', UNATTENDED);
      else await secrets.list(caller, scope, UNATTENDED);
      session.disconnect();
      expect(stacks).toHaveLength(1);
      const frames = framesOf(stacks[0]);
      const useCase = frames.findIndex((frame) => frame.startsWith(`${operation} secrets/secrets.service`));
      expect(useCase).toBeGreaterThan(8);
      expect(useCase).toBeLessThanOrEqual(MAX_FRAMES);
      // A closure has no name, or one that V8 makes of where it is.
      const closures = frames.slice(0, useCase).filter((frame) => /^\S*\.\S* /.test(frame));
      expect(closures.length).toBeLessThanOrEqual(MAX_CLOSURES);
    },
  );
});
