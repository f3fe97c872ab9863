import {
  appOwning,
  dividedGrants,
  type GrantApproval,
  GrantApprovals,
  GrantApprovalService,
  GrantSource,
} from '../../src/authz/grant-source';
import type { Grant, InstalledApp } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import { outcome } from '../conformance/secret-store.conformance';

const LIST: Grant = { operation: 'ListSecret', workspace: 'desk' };
const READ: Grant = { operation: 'RetrieveSecret', workspace: 'desk' };
const keyOf = ({ operation, workspace }: Grant) => `${operation}?workspace=${workspace}`;

describe('the workspace of an app', () => {
  const apps = new Set(['mail', 'mail-pro', 'notes', 'settings']);

  it.each([
    ['mail', 'mail'],
    ['mail-drafts', 'mail'],
    ['mail.drafts', 'mail'],
    ['mail_drafts', 'mail'],
    ['mail-', 'mail'],
    ['mail-pro', 'mail-pro'],
    ['mail-pro-drafts', 'mail-pro'],
    ['mail-prod', 'mail'],
  ])('%s is own to the app with the longest name that it begins with: %s', (workspace, app) => {
    expect(appOwning(workspace, apps)).toBe(app);
  });

  it.each(['mailbox', 'mai', 'Mail', 'mail/drafts', 'my-mail', '-mail', '', 'settings', 'settings-mail', 'dashboard'])(
    '%j is no app’s own',
    (workspace) => expect(appOwning(workspace, apps)).toBeUndefined(),
  ); // prettier-ignore
});

describe('what an app states for itself', () => {
  const divide = (stated: readonly Grant[], approved: readonly string[] = [], reserved: readonly string[] = []) =>
    dividedGrants(
      stated,
      'notes',
      { apps: new Set(['notes', 'desk']), reserved: new Set(reserved) },
      (key) => approved.includes(key),
    ); // prettier-ignore
  const OWN: Grant = { operation: 'CreateSecret', workspace: 'notes-drafts' };

  it('counts on its own workspaces, and is pending elsewhere', () => {
    expect(divide([OWN, LIST])).toEqual({
      grants: new Set(['CreateSecret?workspace=notes-drafts']),
      pending: new Set(['ListSecret?workspace=desk']),
      approved: new Set(),
    });
  });

  it('counts elsewhere where exactly this operation is approved', () => {
    expect(divide([LIST, READ], [keyOf(LIST)])).toEqual({
      grants: new Set([keyOf(LIST)]),
      pending: new Set([keyOf(READ)]),
      approved: new Set([keyOf(LIST)]),
    });
    const all = new Set([keyOf(LIST)]);
    expect(divide([LIST], [keyOf(LIST)])).toEqual({ grants: all, approved: all });
  });

  it('is pending on a reserved workspace, be it named like the app, until it is approved', () => {
    expect(divide([OWN], [], ['notes-drafts'])).toEqual({
      grants: new Set(),
      pending: new Set([keyOf(OWN)]),
      approved: new Set(),
    });
    const all = new Set([keyOf(OWN)]);
    expect(divide([OWN], [keyOf(OWN)], ['notes-drafts'])).toEqual({ grants: all, approved: all });
  });
});

describe('the approval of grants', () => {
  class RecordedApprovals extends GrantApprovals {
    readonly calls: unknown[] = [];

    approve(approval: GrantApproval): Promise<void> {
      this.calls.push({ approve: approval });
      return Promise.resolve();
    }

    revoke(of: Omit<GrantApproval, 'operations'>): Promise<void> {
      this.calls.push({ revoke: of });
      return Promise.resolve();
    }
  }
  class OneApp extends GrantSource {
    protected index = new GrantIndex();

    constructor(installed: InstalledApp, ready = true) {
      super();
      this.index.put('source', installed);
      this.current = { ...this.current, ready };
    }

    close(): Promise<void> {
      return Promise.resolve();
    }
  }
  const NOTES = {
    app: 'notes',
    user: 'alice',
    grants: new Set([keyOf(LIST)]),
    pending: new Set([keyOf(READ)]),
  };
  const AT = { user: 'alice', app: 'notes', workspace: 'desk' };

  const opened = (installed: InstalledApp = NOTES, ready = true) => {
    const [approvals, logged] = [new RecordedApprovals(), [] as unknown[]];
    const service = new GrantApprovalService(new OneApp(installed, ready), approvals, (...line) => logged.push(line));
    return { service, logged, calls: approvals.calls };
  }; // prettier-ignore

  it('takes what the app states, pending or granted already, and logs it', async () => {
    const { service, calls, logged } = opened();
    const approval: GrantApproval = { ...AT, operations: ['ListSecret', 'RetrieveSecret'] };
    await service.approve(approval);
    expect(calls).toEqual([{ approve: approval }]);
    expect(logged).toEqual([['info', 'grant_approved', approval]]);
  });

  it.each<[string, GrantApproval, InstalledApp]>([
    ['an operation among others that the app does not state', { ...AT, operations: ['ListSecret', 'DeleteSecret'] }, NOTES],
    ['a workspace that the app does not state', { ...AT, workspace: 'mail', operations: ['ListSecret'] }, NOTES],
    ['what is not pending of an app with nothing pending', { ...AT, operations: ['RetrieveSecret'] }, { app: 'notes', user: 'alice', grants: NOTES.grants }],
  ])('refuses %s', async (_title, approval, installed) => {
    const { service, calls, logged } = opened(installed);
    await expect(service.approve(approval)).rejects.toMatchObject({ reason: 'INVALID_REQUEST', details: { field: 'operations', app: 'notes' } });
    expect([...calls, ...logged]).toEqual([]);
  }); // prettier-ignore

  it('refuses an app that is not installed for the user', async () => {
    const { service, calls } = opened();
    for (const change of [{ user: 'bob' }, { app: 'mail' }])
      expect(await outcome(service.approve({ ...AT, operations: ['ListSecret'], ...change }))).toBe('NOT_GRANTED');
    expect(calls).toEqual([]);
  }); // prettier-ignore

  it('refuses while the grants are not known', async () => {
    const { service, calls } = opened(NOTES, false);
    expect(await outcome(service.approve({ ...AT, operations: ['ListSecret'] }))).toBe('GRANTS_UNAVAILABLE');
    expect(calls).toEqual([]);
  });

  it('is withdrawn also where the app is gone, and that is logged', async () => {
    const { service, calls, logged } = opened();
    await service.revoke({ ...AT, app: 'gone' });
    expect(calls).toEqual([{ revoke: { ...AT, app: 'gone' } }]);
    expect(logged).toEqual([['info', 'grant_revoked', { ...AT, app: 'gone' }]]);
  });

  it('refuses to withdraw of a text that no app is named', async () => {
    const { service, calls, logged } = opened();
    expect(await outcome(service.revoke({ ...AT, app: '../notes' }))).toBe('NOT_GRANTED');
    expect([...calls, ...logged]).toEqual([]);
  });
});
