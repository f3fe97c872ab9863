import type { AttackName } from '../../test/support/attacks/attacks';

/** The conditions of the service. */
export interface ServiceConditions {
  readonly store: 'embedded' | 'infisical';
  readonly settings?: Readonly<Record<string, string>>;
  /** The attackers' workspaces hold 7 MiB each. */
  readonly largeWorkspaces?: boolean;
  /** LLDAP is asked about each user's token, and takes so long to answer. */
  readonly lldapMs?: number;
  readonly tls?: boolean;
  /** Grants, pods and peers come from a cluster; the attackers' address is that of a system-server. */
  readonly cluster?: boolean;
}

/** One attack, and the conditions of the service. */
export interface Scenario extends ServiceConditions {
  /** The number of the fault in the issue. */
  readonly fault: string;
  readonly attack: AttackName;
  /** From how many addresses the attack comes; by default one. */
  readonly addresses?: number;
  /** The well-behaved app also asks for access tokens. */
  readonly proofs?: boolean;
}

const MANY = 59;
const embedded = { store: 'embedded' } as const;
const infisical = { store: 'infisical' } as const;

/** In the order of the faults of the issue. */
export const SCENARIOS: readonly Scenario[] = [
  { fault: 'B1', attack: 'headerPairs', ...embedded, cluster: true },
  { fault: 'B2', attack: 'disconnectingClients', ...embedded, lldapMs: 400 },
  { fault: 'B2', attack: 'disconnectingClients', ...infisical, largeWorkspaces: true },
  { fault: 'B3', attack: 'absoluteTargets', ...embedded },
  { fault: 'B3', attack: 'throttledReads', ...embedded },
  { fault: 'B4', attack: 'nestedBodies', ...embedded },
  { fault: 'B4', attack: 'nestedBodies', ...infisical },
  { fault: 'B4', attack: 'costlyBodiesForged', ...embedded },
  { fault: 'B4', attack: 'costlyBodiesForged', ...embedded, addresses: MANY },
  { fault: 'B4', attack: 'costlyBodiesInChunks', ...embedded },
  { fault: 'B4', attack: 'costlyBodiesOfAnApp', ...embedded },
  { fault: 'B4', attack: 'bodiesInSlivers', ...embedded },
  { fault: 'B4', attack: 'bodiesInSlivers', ...embedded, addresses: MANY },
  { fault: 'B4', attack: 'bodiesInSliversOfAnApp', ...embedded },
  { fault: 'B4', attack: 'bodiesAtOnce', ...embedded },
  { fault: 'B4', attack: 'bodiesAtOnce', ...embedded, addresses: MANY },
  { fault: 'B4', attack: 'headsAtOnce', ...embedded, addresses: MANY },
  { fault: 'B4', attack: 'endlessBodies', ...embedded },
  { fault: 'B4', attack: 'endlessBodies', ...embedded, addresses: MANY },
  { fault: 'B4', attack: 'costlySmallBodies', ...embedded },
  { fault: 'B4', attack: 'costlyPublicBodies', ...embedded },
  { fault: 'B4', attack: 'bodiesWhereNoneBelongs', ...embedded },
  { fault: 'B5', attack: 'storeLargeValues', ...embedded },
  { fault: 'B5', attack: 'storeLargeValues', ...infisical },
  { fault: 'B5', attack: 'manySmallSecrets', ...embedded },
  { fault: 'B7', attack: 'missingBodies', ...embedded },
  { fault: 'B7', attack: 'missingBodies', ...embedded, addresses: MANY },
  { fault: 'B7', attack: 'missingChunks', ...embedded },
  { fault: 'B7', attack: 'drippingBodies', ...embedded },
  { fault: 'B7', attack: 'drippingBodies', ...embedded, addresses: 3 },
  { fault: 'B7', attack: 'drippingBodiesOfAnApp', ...embedded },
  { fault: 'B7', attack: 'idleConnections', ...embedded },
  { fault: 'B7', attack: 'idleConnections', ...embedded, addresses: MANY },
  { fault: 'B7', attack: 'silentConnections', ...embedded },
  { fault: 'B7', attack: 'silentHealthConnections', ...embedded },
  { fault: 'B7', attack: 'unfinishedProbeBodies', ...embedded },
  { fault: 'B7', attack: 'unfinishedPublicBodies', ...embedded },
  { fault: 'B7', attack: 'unfinishedPublicBodies', ...embedded, addresses: MANY },
  { fault: 'B7', attack: 'slowHeads', ...embedded },
  { fault: 'B7', attack: 'briefConnections', ...embedded },
  { fault: 'B7', attack: 'pipelinedRequests', ...embedded },
  { fault: 'B7', attack: 'halfClosedConnections', ...embedded },
  { fault: 'B7', attack: 'forgedTokens', ...embedded },
  { fault: 'B7', attack: 'stalledHandshakes', ...embedded, tls: true },
  { fault: 'B7', attack: 'handshakes', ...embedded, tls: true },
  { fault: 'B8', attack: 'unreadLists', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadLists', ...infisical, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadListsOfManyApps', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadListsOfManyApps', ...infisical, largeWorkspaces: true, addresses: MANY },
  { fault: 'B8', attack: 'unreadValues', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadValues', ...infisical, largeWorkspaces: true, addresses: MANY },
  { fault: 'B8', attack: 'pipelinedUnreadLists', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadDocuments', ...embedded },
  { fault: 'B8', attack: 'requestsBehindAValue', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'slowlyReadLists', ...embedded, largeWorkspaces: true },
  { fault: 'B8', attack: 'unreadRefusals', ...embedded },
  { fault: 'B9', attack: 'wrongProofsOfAnApp', ...embedded, proofs: true },
  { fault: 'B9', attack: 'wrongProofsOfNobody', ...embedded, proofs: true },
  { fault: 'B10', attack: 'forgedServiceAccountTokens', ...embedded, cluster: true },
  { fault: 'B12', attack: 'slowManifests', ...embedded },
];

/** Returns the name by which a scenario is chosen and shown. */
export function titleOf({ fault, attack, store, addresses, lldapMs }: Scenario): string {
  const more = [
    store,
    ...(addresses === undefined ? [] : [`${addresses} addresses`]),
    ...(lldapMs === undefined ? [] : [`LLDAP ${lldapMs} ms`]),
  ];
  return `${fault} ${attack} (${more.join(', ')})`;
}
