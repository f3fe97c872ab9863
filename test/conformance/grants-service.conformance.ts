import { SECRET_OPERATIONS } from '../../src/authz/grant';
import type { GrantSource } from '../../src/authz/grant-source';
import type { GrantsService, WorkspaceSharing } from '../../src/authz/grants.service';
import { DomainError } from '../../src/errors/domain-error';
import { FixedGrantSource } from '../support/fixed-grant-source';

export type MakeGrantsService = (source: GrantSource, sharing: WorkspaceSharing) => GrantsService;

const NOTES = { app: 'notes', user: 'alice', appKey: 'k1', appSecret: 's', ops: ['RetrieveSecret?workspace=desk', 'ListSecret'] }; // prettier-ignore
const MAIL = { app: 'mail', user: 'alice', appKey: 'k2', appSecret: 's', ops: ['RetrieveSecret?workspace=desk'] }; // prettier-ignore

/** The contract of GrantsService, which a decorator keeps too. */
export function describeGrantsService(title: string, make: MakeGrantsService): void {
  describe(`${title} keeps the contract of GrantsService`, () => {
    const source = () => new FixedGrantSource([NOTES, MAIL]);
    const opened = (sharing: WorkspaceSharing = 'allow', from = source()) => make(from, sharing);
    const any = (app: string, user = 'alice') => ({ app, user, operations: 'any' }) as const;
    const refusal = (work: () => unknown): string => {
      try {
        work();
        return 'done';
      } catch (error: unknown) {
        // One reason stands for three refusals, which differ in what they advise.
        if (error instanceof DomainError) return error.constructor.name;
        throw error;
      }
    };

    it('authorises exactly the operations and workspaces of the grants', () => {
      const service = opened();
      const granted = SECRET_OPERATIONS.flatMap((operation) =>
        ['desk', 'notes', 'DESK', 'mail', ''].map((workspace) => [operation, workspace] as const),
      ).filter(
        ([operation, workspace]) =>
          refusal(() => service.authorize(any('notes'), operation, workspace)) === 'done',
      );
      expect(granted.sort()).toEqual([
        ['ListSecret', 'notes'],
        ['RetrieveSecret', 'desk'],
      ]);
    });

    it('returns the scope of the user and workspace', () => {
      expect(opened().authorize(any('notes'), 'RetrieveSecret', 'desk')).toMatchObject({
        user: 'alice',
        workspace: 'desk',
      });
    });

    it('refuses another user, and an app that is not installed', () => {
      for (const caller of [any('notes', 'bob'), any('other'), any('')])
        expect(refusal(() => opened().authorize(caller, 'RetrieveSecret', 'desk'))).toBe('NotGranted');
    });

    it('refuses what the access token does not name, although it is granted', () => {
      const caller = { app: 'notes', user: 'alice', operations: new Set(['ListSecret?workspace=notes']) };
      const refusals = [
        () => opened().authorize(caller, 'ListSecret', 'notes'),
        () => opened().authorize(caller, 'RetrieveSecret', 'desk'),
      ].map(refusal);
      expect(refusals).toEqual(['done', 'NotInAccessToken']);
    });

    it('refuses a grant that was withdrawn at once', () => {
      const from = source();
      const service = opened('allow', from);
      service.authorize(any('notes'), 'RetrieveSecret', 'desk');
      from.set([MAIL]);
      expect(refusal(() => service.authorize(any('notes'), 'RetrieveSecret', 'desk'))).toBe('NotGranted');
    });

    it('refuses everything while the grants are not known', () => {
      const from = source();
      from.setReady(false);
      const service = opened('allow', from);
      const refusals = [
        () => service.authorize(any('notes'), 'RetrieveSecret', 'desk'),
        () => service.grantedWorkspaces('alice', 'notes'),
        () => service.heldWorkspaces('alice', 'notes'),
      ].map(refusal);
      expect(new Set(refusals)).toEqual(new Set(['GrantsUnavailable']));
    });

    it('leaves a shared workspace to the app that was installed first where sharing is denied', () => {
      const service = opened('deny');
      const refusals = ['notes', 'mail'].map((app) =>
        refusal(() => service.authorize(any(app), 'RetrieveSecret', 'desk')),
      );
      expect(refusals).toEqual(['done', 'WorkspaceTaken']);
      expect(service.grantedWorkspaces('alice', 'mail')).toEqual([]);
    });

    it('says what an app holds', () => {
      const service = opened();
      expect(service.heldWorkspaces('alice', 'notes')).toEqual([
        { workspace: 'desk', operations: ['RetrieveSecret'], sharedWith: ['mail'], usable: true },
        { workspace: 'notes', operations: ['ListSecret'], sharedWith: [], usable: true },
      ]);
      expect(service.grantedWorkspaces('alice', 'notes')?.map(({ workspace }) => workspace)).toEqual([
        'desk',
        'notes',
      ]);
      expect([service.heldWorkspaces('bob', 'notes'), service.grantedWorkspaces('alice', 'x')]).toEqual([
        undefined,
        undefined,
      ]);
    });
  });
}
