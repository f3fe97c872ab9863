import { Injectable } from '@nestjs/common';
import { AccessTokens, type IssuedAccessToken } from '../authn/access-tokens';
import { AppProofVerifier, type AppProof, type ProofRefusal } from '../authn/app-proof.verifier';
import { grantKey, PROVIDER, type InstalledApp } from './grant';
import { GrantSource } from './grant-source';
import { GrantsService } from './grants.service';
import { parseOp } from './sys-data';
import { Unauthenticated, UserMismatch } from '../errors/authn-errors';
import type { Caller } from '../authn/caller';
import { type Peer, PeerVerifier } from '../authn/peer-verifier';

/** The tuple that an app asks for: `sysData`'s own form. */
export interface RequestedPermission {
  readonly dataType: string;
  readonly group: string;
  readonly version: string;
  readonly ops: readonly string[];
}

type AppOfUser = Pick<InstalledApp, 'app' | 'user'>;

type AccessOutcome =
  | { readonly kind: 'issued'; readonly of: AppOfUser; readonly issued: IssuedAccessToken }
  /** `claimed`: the app that has the key, if there is one. For the log: the caller is not to learn any of this. */
  | { readonly kind: 'unproven'; readonly claimed: AppOfUser | undefined; readonly refusal: ProofRefusal }
  /** `missing`: what is not granted, safe to show to the app that proved itself. */
  | { readonly kind: 'refused'; readonly of: AppOfUser; readonly missing: string };

/** Contract, section 4: an app that proves itself gets a token for what it holds, all of what it asks for or nothing. */
@Injectable()
export class AccessService {
  constructor(
    private readonly source: GrantSource,
    private readonly grants: GrantsService,
    private readonly proofs: AppProofVerifier,
    private readonly tokens: AccessTokens,
  ) {}

  /** @param peerAddress of the socket that it came by. @throws GrantsUnavailable (503), TooManyRequests (429) */
  async request(
    proof: AppProof,
    permission: RequestedPermission,
    peerAddress: string | undefined,
  ): Promise<AccessOutcome> {
    this.source.requireReady();
    const installed = this.source.findByKey(proof.appKey);
    const refusal = await this.proofs.verify(proof, installed?.appSecret, peerAddress);
    const of = installed && { app: installed.app, user: installed.user };
    if (refusal !== undefined || installed === undefined || of === undefined)
      return { kind: 'unproven', claimed: of, refusal: refusal ?? { cause: 'unknown_key' } };
    const missing = this.firstMissing(installed, permission);
    if (missing !== undefined) return { kind: 'refused', of, missing };
    const operations = permission.ops.map((op) => canonical(op, of.app) ?? op);
    return { kind: 'issued', of, issued: await this.tokens.issue(of.app, of.user, operations) };
  }

  private firstMissing(installed: InstalledApp, permission: RequestedPermission): string | undefined {
    for (const key of ['dataType', 'group', 'version'] as const) {
      if (permission[key] !== PROVIDER[key]) return `${key} must be ${PROVIDER[key]}`;
    }
    if (permission.ops.length === 0) return 'ops is empty';
    return permission.ops
      .map((op) => this.missingFor(installed, op))
      .find((missing) => missing !== undefined);
  }

  private missingFor(installed: InstalledApp, op: string): string | undefined {
    const parsed = parseOp(op, installed.app);
    if (!('operation' in parsed) || !installed.grants.has(grantKey(parsed.operation, parsed.workspace)))
      return `app ${installed.app} has no grant for ${op.slice(0, 128)}`;
    if (this.grants.mayUse(installed, parsed.workspace)) return undefined;
    return `workspace ${parsed.workspace} belongs to another app of this user`;
  }
}

/** A bare op stands for the workspace named like the app, here as in the manifest. */
function canonical(op: string, app: string): string | undefined {
  const parsed = parseOp(op, app);
  return 'operation' in parsed ? grantKey(parsed.operation, parsed.workspace) : undefined;
}

/**
 * Contract, section 5.1: system-server checked the app's token and calls for it. The app is named by its key, the user
 * by a header; both count only from a proven system-server of that very user, and must agree with each other.
 */
@Injectable()
export class ProxiedCallerService {
  constructor(
    private readonly source: GrantSource,
    private readonly peers: PeerVerifier,
  ) {}

  /** Whether the peer is this user's system-server, or has a trusted ServiceAccount. @throws IdentityUnavailable (503), TooManyRequests (429) */
  async isProven(peer: Peer, user: string): Promise<boolean> {
    return this.peers.provesSystemServer(peer.address, user) || this.peers.provesTrustedFor(peer, user);
  }

  /** The app whose key a proven peer named. @throws Unauthenticated (401), UserMismatch (403), GrantsUnavailable (503) */
  identify(appKey: string, user: string): Caller {
    this.source.requireReady();
    const installed = this.source.findByKey(appKey);
    if (installed === undefined) throw new Unauthenticated('X-Access-Token');
    if (installed.user !== user) throw new UserMismatch();
    return { app: installed.app, user, operations: 'any' };
  }
}
