import type { Caller } from '../../src/authn/caller';
import { SECRET_OPERATIONS, type SecretOperation } from '../../src/authz/grant';
import { GrantsService } from '../../src/authz/grants.service';
import { UNATTENDED } from '../../src/secrets/secret';
import { SecretsService } from '../../src/secrets/secrets.service';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { MemorySecretStore } from '../support/memory.secret-store';

const NOTES: Caller = { app: 'notes', user: 'alice', operations: 'any' };
const AT = { workspace: 'desk', environment: 'dev' } as const;
const SCOPE = { user: 'alice', ...AT };

describe('the five use-cases', () => {
  let store: MemorySecretStore;
  beforeEach(async () => {
    store = new MemorySecretStore();
    await store.create(SCOPE, { name: 'token', value: 'before' });
    store.calls.splice(0);
  });

  const serviceWith = (...ops: readonly string[]) => {
    const source = new FixedGrantSource([{ app: 'notes', user: 'alice', ops }]);
    return new SecretsService(new GrantsService(source), store);
  };
  const call = (service: SecretsService, operation: SecretOperation, at = { ...AT }): Promise<unknown> =>
    ({
      RetrieveSecret: () => service.retrieve(NOTES, at, 'token', UNATTENDED),
      CreateSecret: () => service.create(NOTES, at, { name: 'new', value: 'made' }, UNATTENDED),
      UpdateSecret: () => service.update(NOTES, at, { name: 'token', value: 'after' }, UNATTENDED),
      DeleteSecret: () => service.delete(NOTES, at, 'token', UNATTENDED),
      ListSecret: () => service.list(NOTES, at, UNATTENDED),
    })[operation]();

  it.each<[SecretOperation, string, unknown, readonly string[]]>([
    ['RetrieveSecret', 'retrieve', { secret: { name: 'token', value: 'before' } }, ['token=before']],
    ['CreateSecret', 'create', undefined, ['new=made', 'token=before']],
    ['UpdateSecret', 'update', undefined, ['token=after']],
    ['DeleteSecret', 'delete', undefined, []],
    ['ListSecret', 'list', { secrets: [{ name: 'token', value: 'before' }] }, ['token=before']],
  ])('%s calls the store once, in the scope of the grant', async (operation, method, answer, left) => {
    expect(await call(serviceWith(`${operation}?workspace=desk`), operation)).toEqual(answer);
    expect(store.calls).toEqual([`${method} ["alice","desk","dev"]`]);
    expect((await store.list(SCOPE)).secrets.map(({ name, value }) => `${name}=${value}`)).toEqual(left);
  });

  it.each(SECRET_OPERATIONS)('%s needs its own grant on this very workspace; else the store is not called', async (operation) => {
    const others = SECRET_OPERATIONS.filter((other) => other !== operation).map((other) => `${other}?workspace=desk`);
    const service = serviceWith(...others, `${operation}?workspace=other`);
    expect(await outcome(call(service, operation))).toBe('NOT_GRANTED');
    expect(store.calls).toEqual([]);
  }); // prettier-ignore
});
