import { StoreClient } from '../support/store-client';
import { SecretNotFound } from '../../src/errors/store-errors';
import { type Spans, TracedGrantsService, TracedSecretStore } from '../../src/telemetry/traced';
import { describeGrantsService } from '../conformance/grants-service.conformance';
import { describeSecretOperations } from '../conformance/secret-store.conformance';
import { MemorySecretStore } from '../support/memory.secret-store';

/** The names of the spans, each with how it ended. */
class RecordedSpans implements Spans {
  readonly ended: string[] = [];

  during<T>(name: string, work: () => T): T {
    const result = work();
    if (result instanceof Promise)
      result.then(
        () => this.ended.push(name),
        () => this.ended.push(`${name} failed`),
      );
    else this.ended.push(name);
    return result;
  }
}

describeSecretOperations('the store with spans', {
  open: async () => {
    const store = new TracedSecretStore(new MemorySecretStore(), new RecordedSpans());
    return { store, dispose: () => store.close() };
  },
});

describeGrantsService(
  'the service of grants with spans',
  (source, sharing) => new TracedGrantsService(source, sharing, new RecordedSpans()),
);

describe('a store with spans', () => {
  it('records each operation, failures too, and no ping', async () => {
    const spans = new RecordedSpans();
    const store = new StoreClient(new TracedSecretStore(new MemorySecretStore(), spans));
    const scope = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
    await store.create(scope, { name: 'k', value: 'v' });
    await store.list(scope);
    await expect(store.retrieve(scope, 'none')).rejects.toThrow(SecretNotFound);
    await store.ping();
    expect(spans.ended).toEqual(['store create', 'store list', 'store retrieve failed']);
  });
});
