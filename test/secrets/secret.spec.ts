import { DomainError } from '../../src/errors/domain-error';
import { SecretNotFound } from '../../src/errors/store-errors';
import { CallContexts } from '../../src/http/request/provider-request';
import { sizeByRetrieving, SecretStoreDecorator } from '../../src/secrets/secret-store';
import {
  countedNameLength,
  ENVIRONMENTS,
  isSecretName,
  isSecretValue,
  MAX_VALUE_BYTES,
  scopeKeyOf,
  secretBytes,
  usageOf,
  type CallAudit,
  uncancelled,
  UNATTENDED,
} from '../../src/secrets/secret';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemorySecretStore } from '../support/memory.secret-store';

const SCOPE = { user: 'alice', workspace: 'desk', environment: 'prod' } as const;

describe('the environments', () => {
  it('are the four of Olares', () => expect(ENVIRONMENTS).toEqual(['test', 'dev', 'staging', 'prod']));
});

describe('the name of a secret', () => {
  it.each(['a', 'ä', '漢字', 'a.b', '...', '.a', 'a/b', 'x'.repeat(100), `${'x'.repeat(90)}:`, 'a b', '😀'])(
    'may be %j',
    (name) => expect(isSecretName(name)).toBe(true),
  ); // prettier-ignore

  it.each([
    '', '.', '..', ' a', 'a ', '\u00a0a', 'x'.repeat(101), `${'x'.repeat(91)}:`, 'a\nb', 'a\u0000', 'a\u007f', 'a\u200bb', 'a\u2028b',
    'a\u2029b', 'a\ud800', 'a\ue000', 'a\u0378', undefined, null, 1, ['a'], {},
  ])('may not be %p', (name) => expect(isSecretName(name)).toBe(false)); // prettier-ignore

  it.each([
    ['a~ b', 4],
    ['a:b', 12],
    ['a/b', 12],
    ['a:/~ ', 20],
    ['::', 13],
  ])('%j counts %d of the limit', (name, length) => expect(countedNameLength(name)).toBe(length));
});

describe('the value of a secret', () => {
  it.each(['', 'v', '\u0001', '\n', 'x'.repeat(MAX_VALUE_BYTES), 'é'.repeat(MAX_VALUE_BYTES / 2)])(
    'may be any text of 512 KiB at most: %#',
    (value) => expect(isSecretValue(value)).toBe(true),
  );

  it.each([
    ['NUL', 'a\0b'],
    ['half of a character', 'a\ud800'],
    ['one byte too many', 'x'.repeat(MAX_VALUE_BYTES + 1)],
    ['one byte too many in UTF-8', `${'é'.repeat(MAX_VALUE_BYTES / 2)}x`],
    ['no text', undefined],
    ['a list', ['a']],
    ['null', null],
  ])('may not be %s', (_title, value) => expect(isSecretValue(value)).toBe(false));

  it('is 512 KiB at most', () => expect(MAX_VALUE_BYTES).toBe(524_288));
});

describe('a scope', () => {
  it('has a key that no other has, whatever its names contain', () => {
    const scopes = [['a', 'b'], ['a","b', ''], ['ab', ''], ['', 'ab']].flatMap(([user = '', workspace = '']) =>
      ENVIRONMENTS.map((environment) => ({ user, workspace, environment })),
    ); // prettier-ignore
    expect(new Set(scopes.map(scopeKeyOf)).size).toBe(scopes.length);
    expect(scopeKeyOf(SCOPE)).toBe('["alice","desk","prod"]');
  });

  it('uses what its secrets take, names and values in UTF-8', () => {
    expect(secretBytes({ name: 'é', value: 'abc' })).toBe(5);
    const sizes = new Map([['a', 5], ['b', 7]]); // prettier-ignore
    expect(usageOf(sizes)).toEqual({ secrets: 2, bytes: 12, sizes });
  });

  it('is measured by a retrieve: undefined where there is no such secret, and no other failure is hidden', async () => {
    const store = new MemorySecretStore();
    await store.create(SCOPE, { name: 'é', value: 'abc' });
    expect(await sizeByRetrieving(store, SCOPE, 'é', UNATTENDED)).toBe(5);
    expect(await sizeByRetrieving(store, SCOPE, 'none', UNATTENDED)).toBeUndefined();
    store.failure = new DomainError('STORE_UNAVAILABLE', 'down');
    await expect(sizeByRetrieving(store, SCOPE, 'é', UNATTENDED)).rejects.toBe(store.failure);
  });
});

describe('a decorator that changes nothing', () => {
  it('passes each call on, with its arguments and its answer', async () => {
    class Plain extends SecretStoreDecorator {}
    const asked: unknown[] = [];
    const inner = new Proxy(new MemorySecretStore(), {
      get: (_store, method) => (...args: readonly unknown[]) => {
        asked.push([method, ...args]);
        return `answer of ${String(method)}`;
      },
    }); // prettier-ignore
    const store = new Plain(inner);
    const secret = { name: 'k', value: 'v' };
    const calls: readonly (readonly [keyof SecretStoreDecorator, ...unknown[]])[] = [
      ['create', SCOPE, secret, UNATTENDED],
      ['retrieve', SCOPE, 'k', UNATTENDED],
      ['update', SCOPE, secret, UNATTENDED],
      ['delete', SCOPE, 'k', UNATTENDED],
      ['list', SCOPE, UNATTENDED],
      ['measure', SCOPE, UNATTENDED],
      ['sizeOf', SCOPE, 'k', UNATTENDED],
      ['measureUser', 'alice', UNATTENDED],
      ['requireName', 'k'],
      ['workspacesOf', 'alice', UNATTENDED],
      ['removeWorkspace', 'w', UNATTENDED],
      ['ping'],
      ['close'],
    ];
    for (const [method, ...args] of calls) {
      const answer = await (store[method] as (...all: readonly unknown[]) => unknown).apply(store, args);
      if (method !== 'requireName') expect(answer).toBe(`answer of ${method}`);
    }
    expect(asked).toEqual(calls);
    await expect(new Plain(new MemorySecretStore()).retrieve(SCOPE, 'k', UNATTENDED)).rejects.toThrow(SecretNotFound);
  }); // prettier-ignore
});

describe('the context of a call', () => {
  it('ends when the time of its request is up, and carries its signal and its audit', () => {
    const time = new FixedMonotonicTime();
    const { signal } = new AbortController();
    const audit: CallAudit = { reads: () => undefined, writes: () => Promise.resolve(), answeredStale: () => undefined };
    const context = new CallContexts(500, time).of({ cleanup: { signal }, audit });
    expect(context.deadline).toEqual({ endsAtMs: time.nowMs() + 500 });
    expect([context.signal, context.audit]).toEqual([signal, audit]);
  }); // prettier-ignore

  it('makes no signal before one is asked for', () => {
    const cleanup = {
      get signal(): AbortSignal {
        throw new Error('asked');
      },
    };
    expect(new CallContexts(500, new FixedMonotonicTime()).of({ cleanup }).audit).toBeUndefined();
  });

  it('that must be finished keeps its deadline, and nobody cancels it', () => {
    const controller = new AbortController();
    const context = uncancelled({ deadline: { endsAtMs: 7 }, signal: controller.signal });
    controller.abort();
    expect(context.deadline).toEqual({ endsAtMs: 7 });
    expect(context.signal.aborted).toBe(false);
  });

  it('of the service’s own work has no end', () => {
    expect(UNATTENDED.deadline.endsAtMs).toBe(Infinity);
    expect(UNATTENDED.signal.aborted).toBe(false);
  });
});
