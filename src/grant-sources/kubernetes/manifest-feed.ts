import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import { dividedGrants } from '../../authz/grant-approvals';
import { type Manifest, parseManifest } from '../../authz/manifest';
import type { Refusal } from '../../authz/plain-yaml';
import { Informer } from '../../kubernetes/informer';
import type { KubeObject } from '../../kubernetes/kube-object';
import type { WatchedNamespaceOwners } from '../../kubernetes/watched-namespace-owners';
import {
  type GrantFeedObserver,
  type GrantReading,
  InformedFeed,
  type OpenGrantFeed,
  type StatedClaim,
} from './grant-feed';
import type { WatchedGrantApprovals } from './watched-grant-approvals';

const KIND = 'ConfigMap';
const DATA_KEY = 'OlaresManifest.yaml';
const MAX_BYTES = 64 * 1024;
/** One page of a list: anybody who may make ConfigMaps may make large ones. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;
/** Namespaces of the system and of shared apps, whatever their label says. */
const NO_APPS = /^(os|kube)-|-shared$/;

/** Leaves no workspace to an app that the namespace does not prove. */
const NO_CLAIM: StatedClaim = { installed: { app: '', user: '', grants: new Set() }, installedAtMs: 0 };

interface ManifestDeps {
  /** Workspaces that are no app's own: those of STATIC_GRANTS. */
  readonly reservedWorkspaces?: ReadonlySet<string>;
  readonly owners: WatchedNamespaceOwners;
  readonly approvals: WatchedGrantApprovals;
}

/** One ConfigMap. */
interface ManifestObject {
  readonly manifest: Manifest | Refusal;
  readonly createdAtMs: number;
  readonly isBeingDeleted: boolean;
}

/**
 * Reads grants from the manifests that apps carry with them: ConfigMaps with the label `secrets.olares.com/manifest: "true"`.
 * The namespace alone says which app of which user it is; the manifest must name the same app. An app may change its
 * ConfigMap while it runs, so what it states counts on its own workspaces, and elsewhere where it is approved.
 */
export function manifestFeed(manifestDeps: ManifestDeps): OpenGrantFeed {
  const { owners, approvals } = manifestDeps;
  return (deps, observerOf) => {
    const manifests = new Manifests(observerOf(KIND), manifestDeps);
    const informer = new Informer<ManifestObject>(
      {
        path: '/api/v1/configmaps',
        labelSelector: 'secrets.olares.com/manifest=true',
        maxPageBytes: MAX_PAGE_BYTES,
        read: manifestIn,
        onPut: (key, object) => manifests.put(key, object),
        onRemoved: (key) => manifests.remove(key),
        onListed: () => manifests.listed(),
        onOutdated: () => observerOf(KIND).outdated(),
      },
      deps,
    );
    const feed = new InformedFeed(
      'manifests in ConfigMaps',
      [informer, approvals.informer],
      [owners.informer],
    );
    manifests.isComplete = () => feed.listed;
    return feed;
  };
}

/** Follows ConfigMaps, namespaces and approvals, and reports what each ConfigMap grants by all three. */
class Manifests {
  private readonly byNamespace = new Map<string, Map<string, ManifestObject>>();
  private readonly reported = new Map<string, GrantReading>();
  private readonly owners: WatchedNamespaceOwners;
  private readonly approvals: WatchedGrantApprovals;
  private readonly reserved: ReadonlySet<string>;
  private isEvaluated = false;
  /** Returns true once ConfigMaps, namespaces and approvals were listed. */
  isComplete: () => boolean = () => false;

  constructor(
    private readonly observer: GrantFeedObserver,
    { owners, approvals, reservedWorkspaces = new Set() }: ManifestDeps,
  ) {
    this.owners = owners;
    this.approvals = approvals;
    this.reserved = reservedWorkspaces;
    owners.listen({
      changed: (namespace, users) => {
        this.evaluate(namespace);
        const isGone = owners.informer.get(namespace) === undefined;
        for (const user of users) {
          if (isGone) approvals.uninstalled(user, namespace.slice(0, -`-${user}`.length));
          for (const app of owners.appsOf(user)) this.evaluate(namespaceOf(app, user));
        }
      },
      listed: () => this.listed(),
    });
    approvals.listen({
      changed: (user, app) => this.approved(user, app),
      read: (key, refused) => {
        if (refused === undefined) observer.remove(sourceOf(key));
        else observer.put(sourceOf(key), { kind: 'refused', reason: refused, claim: NO_CLAIM });
      },
      listed: () => this.listed(),
      outdated: () => observer.outdated(),
    });
  }

  put(key: string, object: ManifestObject): void {
    const namespace = namespaceIn(key);
    const objects = this.byNamespace.get(namespace) ?? new Map<string, ManifestObject>();
    this.byNamespace.set(namespace, objects.set(key, object));
    this.evaluate(namespace);
  }

  remove(key: string): void {
    const namespace = namespaceIn(key);
    const objects = this.byNamespace.get(namespace);
    objects?.delete(key);
    if (objects?.size === 0) this.byNamespace.delete(namespace);
    if (this.reported.delete(key)) this.observer.remove(sourceOf(key));
    this.evaluate(namespace);
  }

  listed(): void {
    if (!this.isEvaluated && this.isComplete()) {
      this.isEvaluated = true;
      for (const namespace of this.byNamespace.keys()) this.evaluate(namespace);
    }
    this.observer.listed();
  }

  private approved(user: string, app: string): void {
    if (user !== '*') return this.evaluate(namespaceOf(app, user));
    for (const namespace of this.byNamespace.keys())
      if (this.owners.appIn(namespace)?.app === app) this.evaluate(namespace);
  }

  /** Reports what the ConfigMaps of a namespace grant, where that changed; before everything was listed nobody can say. */
  private evaluate(namespace: string): void {
    if (!this.isEvaluated) return;
    const objects = this.byNamespace.get(namespace) ?? new Map<string, ManifestObject>();
    for (const [key, object] of objects) {
      const reading = this.readingOf(namespace, object, objects.size);
      if (isDeepStrictEqual(this.reported.get(key), reading)) continue;
      this.reported.set(key, reading);
      this.observer.put(sourceOf(key), reading);
    }
  }

  private readingOf(namespace: string, object: ManifestObject, count: number): GrantReading {
    const owned = this.owners.informer.get(namespace);
    // ConfigMaps and namespaces are watched apart, so that the ConfigMap of a new namespace may come first.
    if (owned === undefined) return { kind: 'outside' };
    const of = this.owners.appIn(namespace);
    if (owned.owner === '') return refused('its namespace has no label bytetrade.io/ns-owner', NO_CLAIM);
    if (of === undefined || NO_APPS.test(namespace))
      return refused("its namespace is no app's: it must be named <app>-<owner of the namespace>", NO_CLAIM);
    if (owned.isBeingDeleted || object.isBeingDeleted) return { kind: 'inactive', claim: undefined };
    if (count > 1) return refused(`its namespace has ${count} manifests, so that none of them counts`);
    const { manifest, createdAtMs } = object;
    if ('refused' in manifest) return { ...refused(manifest.refused), line: manifest.line };
    if (manifest.app !== of.app)
      return refused('metadata.name is not the app that its namespace is named after');
    const ofUser = { apps: this.owners.appsOf(of.user), reserved: this.reserved };
    const divided = dividedGrants(manifest.grants, of.app, ofUser, (key) =>
      this.approvals.isApproved(of.user, of.app, key),
    );
    const { serviceAccount, warnings } = manifest;
    const installed = { ...of, ...divided, namespace, serviceAccount };
    return { kind: 'installed', installed, installedAtMs: createdAtMs, warnings };
  }
}

/** @param claim undefined where the app keeps its workspaces although it is not served */
function refused(reason: string, claim?: StatedClaim): Extract<GrantReading, { readonly kind: 'refused' }> {
  return { kind: 'refused', reason, claim };
}

/** Installations of one app have one manifest, which is parsed once. */
const parsed = new LRUCache<string, Manifest | Refusal>({
  maxSize: 50_000,
  sizeCalculation: (manifest) =>
    'refused' in manifest ? 1 : 1 + manifest.grants.length + manifest.warnings.length,
});

function manifestIn({ body }: KubeObject): ManifestObject {
  const { creationTimestamp, deletionTimestamp } = body['metadata'] as {
    readonly creationTimestamp?: unknown;
    readonly deletionTimestamp?: unknown;
  };
  const data = body['data'] as Readonly<Record<string, unknown>> | null | undefined;
  const text =
    data !== null && data !== undefined && Object.hasOwn(data, DATA_KEY) ? data[DATA_KEY] : undefined;
  return {
    manifest: typeof text === 'string' ? manifestOf(text) : { refused: `data has no ${DATA_KEY}`, line: 1 },
    createdAtMs: Date.parse(String(creationTimestamp)) || 0,
    isBeingDeleted: deletionTimestamp !== undefined,
  };
}

function manifestOf(text: string): Manifest | Refusal {
  if (Buffer.byteLength(text) > MAX_BYTES) return { refused: `larger than ${MAX_BYTES} bytes`, line: 1 };
  const digest = createHash('sha256').update(text).digest('base64');
  const manifest = parsed.get(digest) ?? parseManifest(text);
  parsed.set(digest, manifest);
  return manifest;
}

function namespaceOf(app: string, user: string): string {
  return `${app}-${user}`;
}

function namespaceIn(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** No other feed names a source so. */
function sourceOf(key: string): string {
  return `${KIND} ${key}`;
}
