import type { SecretOperation } from '../grants/grant';
import type { GrantSource } from '../grants/grant-source';
import { GrantsService, type GrantedScope, type WorkspaceSharing } from '../grants/grants.service';
import type { Caller } from '../identity/caller';
import type { Spans } from './spans';

/** The decision, as a span. */
export class TracedGrantsService extends GrantsService {
  constructor(
    source: GrantSource,
    sharing: WorkspaceSharing,
    private readonly spans: Spans,
  ) {
    super(source, sharing);
  }

  override authorize(caller: Caller, operation: SecretOperation, workspace: string): GrantedScope {
    return this.spans.around('authorise', () => super.authorize(caller, operation, workspace));
  }
}
