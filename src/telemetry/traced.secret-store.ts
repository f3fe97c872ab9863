import type { SecretStore } from '../secrets/secret-store';
import { WrappedSecretStore, type StoreCall } from '../secrets/wrapped.secret-store';
import type { Spans } from './spans';

/** A store whose calls are spans. What runs in the background belongs to no request and is only passed on. */
export class TracedSecretStore extends WrappedSecretStore {
  constructor(
    inner: SecretStore,
    private readonly spans: Spans,
  ) {
    super(inner);
  }

  protected around<T>({ method, scope }: StoreCall, pass: () => Promise<T>): Promise<T> {
    return scope === undefined ? pass() : this.spans.during(`store ${method}`, pass);
  }
}
