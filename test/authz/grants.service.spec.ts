import type { Caller } from '../../src/authn/caller';
import { type InstalledApp, SECRET_OPERATIONS } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../src/authz/grant-source';
import { GrantsService, type WorkspaceSharing } from '../../src/authz/grants.service';
import { type StaticGrant, StaticGrants } from '../../src/authz/static-grants';
import { describeGrantsService } from '../conformance/grants-service.conformance';

describeGrantsService('the service of grants', (source, sharing) => new GrantsService(source, sharing));

/** A source whose apps a test puts into its index. */
class OpenSource extends GrantSource {
  index = new GrantIndex((user, app) => this.changed(user, app));

  say(status: Partial<GrantSourceStatus>): void {
    this.current = { ...this.current, ...status };
  }

  replace(apps: readonly InstalledApp[]): void {
    const before = this.index;
    this.index = new GrantIndex();
    for (const app of apps) this.index.put(app.app, app);
    this.replaced(before);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const LIST = 'ListSecret?workspace=desk';
const READ = 'RetrieveSecret?workspace=desk';
const notes = (change: Partial<InstalledApp> = {}): InstalledApp => ({ app: 'notes', user: 'alice', grants: new Set([LIST]), ...change }); // prettier-ignore
const NOTES: Caller = { app: 'notes', user: 'alice', operations: 'any' };
const MAIL: Caller = { ...NOTES, app: 'mail' };
const FRONTEND: Caller = { ...NOTES, app: 'user-space-alice:system-frontend' };

let source: OpenSource;
beforeEach(() => {
  source = new OpenSource();
  source.say({ ready: true });
});

/** Which error a call ends with, since several stand behind one reason. */
function refusal(work: () => unknown): string {
  try {
    work();
    return 'done';
  } catch (error: unknown) {
    return error instanceof Error ? `${error.name}: ${error.message}` : 'no error';
  }
}

describe('an app that states what nobody has approved', () => {
  beforeEach(() => source.index.put('a', notes({ pending: new Set([READ]) })));

  it('is refused, and told who must approve it', () => {
    const service = new GrantsService(source);
    expect(refusal(() => service.authorize(NOTES, 'RetrieveSecret', 'desk'))).toMatch(/^GrantPending: .*must approve/);
    expect(refusal(() => service.authorize(NOTES, 'DeleteSecret', 'desk'))).toMatch(/^NotGranted/);
    expect(refusal(() => service.authorize(NOTES, 'ListSecret', 'desk'))).toBe('done');
  }); // prettier-ignore

  it('is shown as such beside what is granted', () => {
    source.index.put('b', notes({ app: 'mail', grants: new Set(), pending: new Set([READ]) }));
    const service = new GrantsService(source);
    expect(service.heldWorkspaces('alice', 'notes')).toEqual([
      { workspace: 'desk', operations: ['ListSecret'], sharedWith: [], usable: true, pending: ['RetrieveSecret'] },
    ]); // prettier-ignore
    expect(service.heldWorkspaces('alice', 'mail')).toEqual([
      { workspace: 'desk', operations: [], sharedWith: ['notes'], usable: false, pending: ['RetrieveSecret'] },
    ]); // prettier-ignore
    expect(service.grantedWorkspaces('alice', 'mail')).toEqual([]);
  });

  it('is shown its workspaces in alphabetical order', () => {
    source.index.put('b', notes({ app: 'mail', grants: new Set(['ListSecret?workspace=z', 'ListSecret?workspace=m']), pending: new Set(['ListSecret?workspace=a']) })); // prettier-ignore
    const shown = new GrantsService(source).heldWorkspaces('alice', 'mail') ?? [];
    expect(shown.map(({ workspace }) => workspace)).toEqual(['a', 'm', 'z']);
  });
});

describe('an app of which nothing is known', () => {
  it('is told that its manifest is missing, and one whose manifest lacks a line is not', () => {
    source.index.put('a', notes());
    const service = new GrantsService(source);
    expect(refusal(() => service.authorize(MAIL, 'ListSecret', 'desk'))).toContain('No manifest of this app');
    expect(refusal(() => service.authorize(NOTES, 'ListSecret', 'mail'))).not.toContain('No manifest');
  });
});

describe('the system’s own callers', () => {
  const FRONTENDS: StaticGrant = {
    account: { namespace: 'user-space-<user>', name: 'system-frontend' },
    userFrom: 'namespace',
    userTokenRequired: true,
    workspaces: ['settings'],
    operations: ['ListSecret'],
  };
  const opened = (sharing: WorkspaceSharing = 'allow') =>
    new GrantsService(source, sharing, new StaticGrants([FRONTENDS]));

  it('hold exactly what is stated for them, also while the grants of apps are not known', () => {
    source.say({ ready: false });
    const done = SECRET_OPERATIONS.filter(
      (operation) => refusal(() => opened().authorize(FRONTEND, operation, 'settings')) === 'done',
    );
    expect(done).toEqual(['ListSecret']);
    expect(opened().authorize(FRONTEND, 'ListSecret', 'settings')).toMatchObject({ user: 'alice', workspace: 'settings' });
    expect(refusal(() => opened().authorize(NOTES, 'ListSecret', 'settings'))).toContain('GrantsUnavailable');
  }); // prettier-ignore

  it('keep their workspaces for themselves where sharing is denied', () => {
    source.index.put('a', notes({ grants: new Set(['ListSecret?workspace=settings', LIST]) }));
    expect(refusal(() => opened('deny').authorize(FRONTEND, 'ListSecret', 'settings'))).toBe('done');
    expect(refusal(() => opened('deny').authorize(NOTES, 'ListSecret', 'settings'))).toContain('WorkspaceTaken');
    expect(refusal(() => opened('deny').authorize(NOTES, 'ListSecret', 'desk'))).toBe('done');
    expect(refusal(() => opened('allow').authorize(NOTES, 'ListSecret', 'settings'))).toBe('done');
  }); // prettier-ignore
});

describe('a source of grants', () => {
  it('decides nothing before it is ready, and says why', () => {
    source.say({ ready: false });
    expect(refusal(() => source.requireIndex())).toContain('they are not loaded yet');
    source.say({ ready: false, unavailableBecause: 'the API server does not answer' });
    expect(refusal(() => source.requireIndex())).toContain('the API server does not answer');
    source.say({ ready: true });
    expect(source.requireIndex()).toBe(source.index);
  });

  it('is not ready before its first load, and knows no app then', () => {
    expect(new OpenSource().status()).toEqual({ ready: false, installedApps: 0, problems: [] });
    expect(new OpenSource().ageMs()).toBeUndefined();
  });

  it('tells its listeners of each app that a replaced index serves otherwise, and of no other', () => {
    source.index.put('notes', notes());
    source.index.put('mail', notes({ app: 'mail' }));
    source.index.put('chat', notes({ app: 'chat' }));
    const told: string[] = [];
    source.onChange((user, app) => told.push(`${user} ${app}`));
    source.replace([notes(), notes({ app: 'mail', grants: new Set([READ]) }), notes({ app: 'new' })]);
    expect(told.sort()).toEqual(['alice chat', 'alice mail', 'alice new']);
  });
});
