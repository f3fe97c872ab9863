import { Injectable } from '@nestjs/common';
import { AccessTokens, type IssuedAccessToken } from '../authn/tokens';
import { AppProofVerifier, type AppProof, type ProofRefusal } from '../authn/app-proof.verifier';
import type { Caller } from '../authn/caller';
import { type Peer, PeerVerifier } from '../authn/peer-verifier';
import { Unauthenticated, UserMismatch } from '../errors/request-errors';
import { grantKey, PROVIDER, type InstalledApp } from './grant';
import { GrantSource } from './grant-source';
import { GrantsService } from './grants.service';
import { parseOp } from './sys-data';

/** The permission that an app asks for, in the form of a `sysData` entry. */
export interface RequestedPermission {
  readonly dataType: string;
  readonly group: string;
  readonly version: string;
  readonly ops: readonly string[];
}

type AppOfUser = Pick<InstalledApp, 'app' | 'user'>;

type AccessOutcome =
  | { readonly kind: 'issued'; readonly of: AppOfUser; readonly issued: IssuedAccessToken }
  /** `claimed` is the app that has the key, if there is one. It is for the log: the caller must not learn any of this. */
  | { readonly kind: 'unproven'; readonly claimed: AppOfUser | undefined; readonly refusal: ProofRefusal }
  /** `missing` says what is not granted, and is safe to show to the app, which proved itself. */
  | { readonly kind: 'refused'; readonly of: AppOfUser; readonly missing: string };

/** Contract, section 4: issues an access token to an app that proves itself and holds every grant that it asks for. */
@Injectable()
export class AccessService {
  constructor(
    private readonly source: GrantSource,
    private readonly grants: GrantsService,
    private readonly proofs: AppProofVerifier,
    private readonly tokens: AccessTokens,
  ) {}

  /** @param peerAddress address of the socket. @throws GrantsUnavailable (503), TooManyRequests (429) */
  async request(
    proof: AppProof,
    permission: RequestedPermission,
    peerAddress: string | undefined,
  ): Promise<AccessOutcome> {
    const installed = this.source.requireIndex().findByKey(proof.appKey);
    const refusal = await this.proofs.verify(proof, installed?.appSecret, peerAddress);
    const of = installed && { app: installed.app, user: installed.user };
    if (refusal !== undefined || installed === undefined || of === undefined)
      return { kind: 'unproven', claimed: of, refusal: refusal ?? { cause: 'unknown_key' } };
    const granted = this.grantedTo(installed, permission);
    if ('missing' in granted) return { kind: 'refused', of, missing: granted.missing };
    return { kind: 'issued', of, issued: await this.tokens.issue(of.app, of.user, granted.operations) };
  }

  /** Returns what an app asks for, each with its workspace as in the manifest, or what of it is not granted. */
  private grantedTo(
    installed: InstalledApp,
    permission: RequestedPermission,
  ): { readonly operations: readonly string[] } | { readonly missing: string } {
    for (const key of ['dataType', 'group', 'version'] as const) {
      if (permission[key] !== PROVIDER[key]) return { missing: `${key} must be ${PROVIDER[key]}` };
    }
    if (permission.ops.length === 0) return { missing: 'ops is empty' };
    const operations: string[] = [];
    for (const op of permission.ops) {
      const parsed = parseOp(op, installed.app);
      if ('problem' in parsed || !installed.grants.has(grantKey(parsed.operation, parsed.workspace)))
        return { missing: `app ${installed.app} has no grant for ${op.slice(0, 128)}` };
      if (!this.grants.isOpenTo(installed, parsed.workspace))
        return { missing: `workspace ${parsed.workspace} belongs to another app of this user` };
      operations.push(grantKey(parsed.operation, parsed.workspace));
    }
    return { operations };
  }
}

/**
 * Contract, section 5.1: system-server checked the app's token and calls on its behalf. The app is named by its key, the
 * user by a header; both count only from a proven system-server of that very user, and must agree with each other.
 */
@Injectable()
export class ProxiedCallerService {
  constructor(
    private readonly source: GrantSource,
    private readonly peers: PeerVerifier,
  ) {}

  /**
   * Returns whether the peer is this user's system-server or has a trusted ServiceAccount.
   * @throws IdentityUnavailable (503), TooManyRequests (429)
   */
  async isProven(peer: Peer, user: string): Promise<boolean> {
    return this.peers.provesSystemServer(peer.address, user) || this.peers.provesTrustedFor(peer, user);
  }

  /** Returns the app whose key a proven peer sent. @throws Unauthenticated (401), UserMismatch (403), GrantsUnavailable (503) */
  identify(appKey: string, user: string): Caller {
    const installed = this.source.requireIndex().findByKey(appKey);
    if (installed === undefined) throw new Unauthenticated('X-Access-Token');
    if (installed.user !== user) throw new UserMismatch();
    return { app: installed.app, user, operations: 'any' };
  }
}
