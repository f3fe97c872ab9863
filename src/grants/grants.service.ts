import { Injectable } from '@nestjs/common';
import { NotGranted, NotInAccessToken } from '../errors/grant-errors';
import type { Caller } from '../identity/caller';
import { grantKey, type SecretOperation } from './grant';
import { GrantSource } from './grant-source';

const checked: unique symbol = Symbol('checked');

/** Proof that the grant was checked. The symbol is private to this file, so that nobody else can make one. */
export interface GrantedScope {
  readonly user: string;
  readonly workspace: string;
  readonly [checked]: true;
}

@Injectable()
export class GrantsService {
  constructor(private readonly source: GrantSource) {}

  /**
   * Deny by default. The credential must cover the operation, and the app must hold the grant *now*:
   * a grant that was withdrawn is refused although a token that names it still lives.
   * @throws NotGranted, NotInAccessToken (403), GrantsUnavailable (503)
   */
  authorize(caller: Caller, operation: SecretOperation, workspace: string): GrantedScope {
    this.source.requireReady();
    const key = grantKey(operation, workspace);
    const installed = this.source.find(caller.user, caller.app);
    if (!installed?.grants.has(key)) throw new NotGranted(caller.app, operation, workspace);
    if (caller.operations !== 'any' && !caller.operations.has(key)) {
      throw new NotInAccessToken(caller.app, operation, workspace);
    }
    return { user: installed.user, workspace, [checked]: true };
  }

  /**
   * What a user's own hand reaches in the Settings app: every workspace on which the app holds any grant, for that user.
   * Undefined where the app is not installed for the user; [] where it holds no secret grant.
   * @throws GrantsUnavailable (503)
   */
  workspacesOf(user: string, app: string): readonly GrantedScope[] | undefined {
    this.source.requireReady();
    const installed = this.source.find(user, app);
    if (installed === undefined) return undefined;
    const names = new Set([...installed.grants].map((key) => key.slice(key.indexOf('=') + 1)));
    return [...names].sort().map((workspace) => ({ user, workspace, [checked]: true }));
  }
}
