import { SECRET_OPERATIONS, grantKey } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import type { Settings } from '../../src/config/settings';
import { AuditedRequest } from '../../src/http/request/audited-request';
import type { Secret, SecretScope } from '../../src/secrets/secret';
import { CachedReads } from '../../src/stores/cached/cached-reads';
import { MemorySecretStore } from '../support/memory.secret-store';
import { TEST_SETTINGS } from '../support/service';
import { HeldResources } from './held-resources';
import { WORKSPACES } from './model-clients';
import { memoryBackend } from './modelled-backends';
import { type ModelledStore, sendCommands, shortPauses } from './send-commands';

/** Reads and creates the secrets of all users in one place. */
class SharedByUsers extends MemorySecretStore {
  override create(scope: SecretScope, secret: Secret) {
    return super.create({ ...scope, user: 'all' }, secret);
  }
  override retrieve(scope: SecretScope, name: string) {
    return super.retrieve({ ...scope, user: 'all' }, name);
  }
}

/** Acknowledges a create of a name that is taken. */
class CreatesTwice extends MemorySecretStore {
  override async create(scope: SecretScope, secret: Secret) {
    await super.create(scope, secret).catch(() => undefined);
  }
}

/** Acknowledges every fifth update without storing it. */
class LosesUpdates extends MemorySecretStore {
  #updates = 0;
  override async update(scope: SecretScope, secret: Secret) {
    this.#updates += 1;
    if (this.#updates % 5 > 0) await super.update(scope, secret);
    else await this.retrieve(scope, secret.name);
  }
}

/** Stores an update whatever the secret is by now. */
class IgnoresPreconditions extends MemorySecretStore {
  override async update(scope: SecretScope, secret: Secret) {
    await super.update(scope, secret);
  }
}

class Breaks extends MemorySecretStore {
  override async delete(): Promise<void> {
    throw new TypeError('a fault of ours');
  }
}

const ALL = new Set(SECRET_OPERATIONS.flatMap((one) => WORKSPACES.map((workspace) => grantKey(one, workspace)))); // prettier-ignore

interface PlantedFault {
  readonly store?: MemorySecretStore;
  /** Before anything is sent. */
  readonly plant?: () => unknown;
  readonly caller?: ModelledStore['caller'];
  readonly decorators?: Settings['store'];
  readonly found: RegExp;
}

const FAULTS: Readonly<Record<string, PlantedFault>> = {
  'a store that mixes up its users': {
    store: new SharedByUsers(),
    found: /no order of the commands|value of others/,
  },
  'a store in which two creates of one name succeed': {
    store: new CreatesTwice(),
    decorators: TEST_SETTINGS.store,
    found: /no order of the commands/,
  },
  'a store that loses an update': { store: new LosesUpdates(), found: /no order of the commands|holds/ },
  'a store that ignores preconditions': {
    store: new IgnoresPreconditions(),
    found: /no order of the commands/,
  },
  'an error without a reason': { store: new Breaks(), found: /a fault of ours/ },
  'an error without a reason, over HTTP': { store: new Breaks(), caller: 'http', found: /no document states: 500|openapi.json/ }, // prettier-ignore
  'an operation without a grant': {
    plant: () =>
      jest
        .spyOn(GrantIndex.prototype, 'find')
        .mockImplementation((user, app) => ({ user, app, grants: ALL })),
    found: /a store call without a grant|a refusal has no cause/,
  },
  'a write that the audit does not have': {
    plant: () => jest.spyOn(AuditedRequest.prototype, 'writes').mockResolvedValue(undefined),
    caller: 'http',
    found: /a write without an attempt in the audit/,
  },
  'a cache that keeps what was overwritten': {
    plant: () => jest.spyOn(CachedReads.prototype, 'applyWrite').mockReturnValue(undefined),
    found: /no order of the commands/,
  },
};

describe('the model finds', () => {
  shortPauses();

  it.each(Object.entries(FAULTS))('%s', async (_title, { store, plant, caller = 'use-cases', decorators, found }) => {
    plant?.();
    const open = () => memoryBackend(store, decorators);
    await expect(sendCommands({ open, caller }, 1_000, 1, false)).rejects.toThrow(found);
  }); // prettier-ignore

  it('what is never given back', async () => {
    const held = new HeldResources();
    held.count('permits', () => 1);
    await expect(held.nothing(50)).rejects.toThrow('still held: [["permits",1]]');
  });
});
