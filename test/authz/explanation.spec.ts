import type { Caller } from '../../src/authn/caller';
import type { GrantStatements, InstalledApp } from '../../src/authz/grant';
import { GrantIndex } from '../../src/authz/grant-index';
import { GrantSource } from '../../src/authz/grant-source';
import { type Explanation, GrantsService } from '../../src/authz/grants.service';
import { StaticGrants } from '../../src/authz/static-grants';
import { AppSecretsService } from '../../src/secrets/secrets.service';
import { MemorySecretStore } from '../support/memory.secret-store';

const LIST = 'ListSecret?workspace=desk';
const NOTES: Caller = { app: 'notes', user: 'alice', operations: 'any' };
const notes = (grants: readonly string[], more: Partial<InstalledApp> = {}): InstalledApp => ({ app: 'notes', user: 'alice', grants: new Set(grants), ...more }); // prettier-ignore

/** A source that is ready, with an open index. */
class OpenSource extends GrantSource {
  index = new GrantIndex();

  constructor() {
    super();
    this.current = { ...this.current, ready: true };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

describe('the explanation of an operation', () => {
  let source: OpenSource;
  beforeEach(() => (source = new OpenSource()));
  const put = (name: string, installed: InstalledApp, statements: GrantStatements = {}, kind = '') =>
    source.index.put(name, installed, 0, kind, statements);
  const explain = (caller: Caller = NOTES, sharing: 'allow' | 'deny' = 'allow'): Explanation =>
    new GrantsService(source, sharing).explainOperation(caller, 'ListSecret', 'desk');
  const ASKED = { app: 'notes', user: 'alice', operation: 'ListSecret', workspace: 'desk' };

  it('names the file and the line that state it', () => {
    put('notes', notes([LIST]), { file: 'OlaresManifest.yaml', lines: new Map([[LIST, 7]]) });
    expect(explain()).toEqual({
      ...ASKED,
      allowed: true,
      decidedBy: 'grant',
      message: `App notes states ${LIST}.`,
      statedAt: [{ source: 'notes/OlaresManifest.yaml', line: 7 }],
    });
  });

  it('says that it was approved only where every source that grants it needed that', () => {
    const approved = { approved: new Set([LIST]) };
    put('manifest', notes([LIST]), approved, 'ConfigMap');
    expect(explain()).toEqual({
      ...ASKED,
      allowed: true,
      decidedBy: 'approval',
      message: `App notes states ${LIST}, and it was approved.`,
      statedAt: [{ source: 'manifest' }],
    });
    put('permission', notes([LIST]), {}, 'ApplicationPermission');
    expect(explain().decidedBy).toBe('grant');
    put('permission', notes([], { pending: new Set([LIST]) }), {}, 'ApplicationPermission');
    expect(explain()).toMatchObject({
      decidedBy: 'approval',
      statedAt: [{ source: 'manifest' }, { source: 'permission' }],
    });
  });

  it('names the operator’s setting for the system’s own callers', () => {
    const account = { namespace: 'os-protected', name: 'sa' };
    const statics = new StaticGrants([{ account, userFrom: 'X-BFL-USER', userTokenRequired: false, workspaces: ['desk'], operations: ['ListSecret'] }]); // prettier-ignore
    const caller: Caller = { ...NOTES, app: 'os-protected:sa' };
    expect(
      new GrantsService(source, 'allow', statics).explainOperation(caller, 'ListSecret', 'desk'),
    ).toEqual({
      ...ASKED,
      app: 'os-protected:sa',
      allowed: true,
      decidedBy: 'static_grant',
      message: `The operator grants ${LIST} to os-protected:sa.`,
      statedAt: [{ source: 'STATIC_GRANTS' }],
    });
  });

  const YAML = [
    'permission:',
    '  sysData:',
    '    - dataType: secret',
    '      group: secret.infisical',
    '      version: v1',
    '      ops:',
    `        - ${LIST}`,
    '',
  ].join('\n');

  it('gives the lines that would state it, and what in the sources grants nothing, where the manifest does not', () => {
    const warnings = [{ line: 3, reason: 'an op must be text' }, { reason: 'sysData must be a list' }];
    put('notes', notes(['ListSecret?workspace=other']), { file: 'm.yaml', warnings });
    expect(explain()).toEqual({
      ...ASKED,
      allowed: false,
      decidedBy: 'no_grant',
      message: expect.stringContaining('has no grant for ListSecret on workspace desk'),
      statedAt: [],
      hints: [
        { source: 'notes/m.yaml', line: 3, reason: 'an op must be text' },
        { source: 'notes/m.yaml', reason: 'sysData must be a list' },
      ],
      yaml: YAML,
    });
  });

  it('gives twenty hints at most', () => {
    put('notes', notes([]), {
      warnings: Array.from({ length: 21 }, () => ({ reason: 'an op must be text' })),
    });
    expect(explain().hints).toHaveLength(20);
  });

  it('says that no manifest is known, and which sources are not served, but not whom they conflict with', () => {
    expect(explain()).toMatchObject({ decidedBy: 'no_manifest', hints: [], yaml: YAML });
    put('one', notes([LIST]));
    put('two', notes([LIST]));
    const reason = 'another source states the same app and user, or the same app key; none of them is served';
    expect(explain()).toMatchObject({
      allowed: false,
      decidedBy: 'no_manifest',
      statedAt: [],
      hints: [{ source: 'one', reason }, { source: 'two', reason }], // prettier-ignore
    });
    expect(source.problemsOf('alice', 'notes')).toMatchObject([
      { servedFromLastGood: false },
      { source: 'two' },
    ]);
  });

  it.each<[string, string, () => Explanation]>([
    ['nobody has approved it', 'pending_approval', () => {
      put('notes', notes([], { pending: new Set([LIST]) }));
      return explain();
    }],
    ['another app holds the workspace', 'other_app', () => {
      source.index.put('mail', { ...notes([LIST]), app: 'mail' }, 0);
      source.index.put('notes', notes([LIST]), 1);
      return explain(NOTES, 'deny');
    }],
    ['the access token was not issued for it', 'access_token', () => {
      put('notes', notes([LIST]));
      return explain({ ...NOTES, operations: new Set() });
    }],
  ])('says where it is stated although %s', (_title, decidedBy, make) => {
    const explanation = make();
    expect(explanation).toEqual({ ...ASKED, allowed: false, decidedBy, message: expect.any(String), statedAt: [{ source: 'notes' }] });
    expect(explanation.message).not.toBe('');
  }); // prettier-ignore

  it('tells the Settings app which other apps hold grants on the workspace', () => {
    put('notes', notes([LIST]));
    put('mail', { ...notes([LIST]), app: 'mail' });
    const settings = new AppSecretsService(new GrantsService(source), new MemorySecretStore());
    expect(settings.explainOperation('alice', 'notes', 'ListSecret', 'desk')).toMatchObject({
      decidedBy: 'grant',
      sharedWith: ['mail'],
    });
    expect(settings.explainOperation('alice', 'notes', 'ListSecret', 'none')).toMatchObject({
      decidedBy: 'no_grant',
      sharedWith: [],
    });
  });
});
