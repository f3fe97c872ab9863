import { isDeepStrictEqual } from 'node:util';
import type { InstalledApp } from '../../authz/grant';
import { dividedGrants } from '../../authz/grant-source';
import type { Manifest } from '../../authz/manifest';
import { Informer, type InformerDeps } from '../../kubernetes/informer';
import { namespaceInKey, objectKeyOf, STRANGERS_PAGE_BYTES } from '../../kubernetes/kube-object';
import type { WatchedNamespaceOwners } from '../../kubernetes/watched-objects';
import type {
  GrantFeed,
  GrantFeedObserver,
  GrantReading,
  OpenGrantFeed,
  StatedClaim,
} from './kubernetes.grant-source';
import { ManifestNamespace, type ManifestObject } from './manifest-object';
import type { WatchedGrantApprovals } from './watched-grant-approvals';

const KIND = 'ConfigMap';
/** Namespaces of the system and of shared apps, whatever their label says. */
const SYSTEM_OR_SHARED_NAMESPACE = /^(os|kube)-|-shared$/;

/** Leaves no workspace to an app that the namespace does not prove, or that has stated nothing. */
const NO_CLAIM: StatedClaim = { installed: { app: '', user: '', grants: new Set() }, installedAtMs: 0 };

interface ManifestDeps {
  /** Workspaces that are no app's own: those of Olares' components and of STATIC_GRANTS. */
  readonly reservedWorkspaces: ReadonlySet<string>;
  readonly owners: WatchedNamespaceOwners;
  readonly approvals: WatchedGrantApprovals;
}

/** What a namespace grants, as it was reported for its first ConfigMap. */
interface ReportedReading {
  readonly key: string;
  readonly reading: GrantReading;
  /** The ConfigMap as it was when it last granted anything: what its app claims while it cannot be read. */
  readonly readable: ManifestObject | undefined;
}

export function manifestFeed({ owners, approvals, reservedWorkspaces }: ManifestDeps): OpenGrantFeed {
  return (deps, observerOf) =>
    new ManifestFeed(observerOf(KIND), owners, approvals, reservedWorkspaces, deps);
}

/**
 * Reads grants from the manifests that apps carry with them: it follows ConfigMaps with the label
 * `secrets.olares.com/manifest: "true"`, namespaces and approvals, and reports what each namespace grants by all three. The
 * namespace alone says which app of which user it is; the manifest must name the same app. An app may change its ConfigMap
 * while it runs, so what it states counts on its own workspaces, and elsewhere where it is approved. A change takes constant
 * time, however many ConfigMaps its namespace has.
 */
class ManifestFeed implements GrantFeed {
  readonly name = 'manifests in ConfigMaps';
  readonly firstOutcome: Promise<void>;
  private readonly namespaces = new Map<string, ManifestNamespace>();
  /** By namespace. */
  private readonly reported = new Map<string, ReportedReading>();
  private readonly informer: Informer<ManifestObject>;
  private isEvaluated = false;

  constructor(
    private readonly observer: GrantFeedObserver,
    private readonly owners: WatchedNamespaceOwners,
    private readonly approvals: WatchedGrantApprovals,
    private readonly reserved: ReadonlySet<string>,
    private readonly deps: InformerDeps,
  ) {
    this.informer = new Informer<ManifestObject>(
      {
        path: '/api/v1/configmaps',
        labelSelector: 'secrets.olares.com/manifest=true',
        maxPageBytes: STRANGERS_PAGE_BYTES,
        read: (object) => this.at(object.namespace).read(objectKeyOf(object.namespace, object.name), object),
        onPut: (key, object) => this.put(key, object),
        onRemoved: (key) => this.remove(key),
        onListed: () => this.wasListed(),
        onOutdated: () => observer.outdated(),
      },
      deps,
    );
    this.firstOutcome = Promise.all(this.informers.map((one) => one.firstOutcome)).then(() => undefined);
    owners.listen({
      changed: (namespace, users) => {
        this.evaluate(namespace);
        if (owners.informer.get(namespace) === undefined)
          approvals.uninstalled((user, app) => users.includes(user) && namespace === namespaceOf(app, user));
        for (const user of users)
          for (const app of owners.appsOf(user)) this.evaluate(namespaceOf(app, user));
      },
      listed: () => this.wasListed(),
      outdated: () => observer.outdated(),
    });
    approvals.listen({
      changed: (user, app) => {
        if (user !== '*') return this.evaluate(namespaceOf(app, user));
        for (const namespace of this.namespaces.keys())
          if (owners.appIn(namespace)?.app === app) this.evaluate(namespace);
      },
      read: (key, refused) => {
        if (refused === undefined) observer.remove(sourceOf(key));
        else observer.put(sourceOf(key), { kind: 'refused', reason: refused, claim: NO_CLAIM });
      },
      listed: () => this.wasListed(),
      outdated: () => observer.outdated(),
    });
  }

  start(): void {
    this.informer.start();
    this.approvals.informer.start();
  }

  /** All that the feed needs; that of the namespaces is started and stopped by others. */
  private get informers() {
    return [this.informer, this.approvals.informer, this.owners.informer];
  }

  get listed(): boolean {
    return this.informers.every(({ listed }) => listed);
  }

  get syncError(): string | undefined {
    return this.informers.find(({ syncError }) => syncError !== undefined)?.syncError;
  }

  ageMs(): number {
    return Math.max(...this.informers.map((informer) => informer.ageMs()));
  }

  async stop(): Promise<void> {
    await Promise.all([this.informer.stop(), this.approvals.informer.stop()]);
  }

  private put(key: string, object: ManifestObject): void {
    const namespace = namespaceInKey(key);
    this.at(namespace).put(key, object);
    this.evaluate(namespace);
  }

  private remove(key: string): void {
    const namespace = namespaceInKey(key);
    this.at(namespace).remove(key);
    if (this.reported.get(namespace)?.key === key) this.withdraw(namespace);
    this.evaluate(namespace);
  }

  private wasListed(): void {
    for (const [namespace, of] of this.namespaces) if (of.isForgettable) this.namespaces.delete(namespace);
    if (!this.isEvaluated && this.listed) {
      this.isEvaluated = true;
      // Of those that were uninstalled while this service was away, too.
      this.approvals.uninstalled((user, app) => !this.owners.appsOf(user).has(app));
      for (const namespace of this.namespaces.keys()) this.evaluate(namespace);
    }
    this.observer.listed();
  }

  /** Reports what the first ConfigMap of a namespace grants, where that changed; before all was listed nobody can say. */
  private evaluate(namespace: string): void {
    const of = this.namespaces.get(namespace);
    const [key, object] = of?.first ?? [];
    if (!this.isEvaluated || of === undefined || key === undefined || object === undefined) return;
    const before = this.reported.get(namespace);
    if (of.isWaiting && before?.reading.kind !== 'installed') return;
    const reading = this.readingOf(namespace, of, object);
    if (reading === undefined || isDeepStrictEqual(before?.reading, reading)) return;
    const readable = reading.kind === 'installed' ? object : before?.readable;
    this.reported.set(namespace, { key, reading, readable });
    this.observer.put(sourceOf(key), reading);
  }

  private withdraw(namespace: string): void {
    const reported = this.reported.get(namespace);
    if (reported !== undefined) this.observer.remove(sourceOf(reported.key));
    this.reported.delete(namespace);
  }

  private at(namespace: string): ManifestNamespace {
    const known = this.namespaces.get(namespace);
    if (known !== undefined) return known;
    const of = new ManifestNamespace(this.deps.time, () => this.evaluate(namespace));
    this.namespaces.set(namespace, of);
    return of;
  }

  /** Returns undefined where that is to be seen at the namespace's next turn. */
  private readingOf(
    namespace: string,
    { size, isWaiting }: ManifestNamespace,
    object: ManifestObject,
  ): GrantReading | undefined {
    const owned = this.owners.informer.get(namespace);
    // ConfigMaps and namespaces are watched apart, so that the ConfigMap of a new namespace may come first.
    if (owned === undefined) return { kind: 'notInstalled' };
    const of = this.owners.appIn(namespace);
    if (owned.owner === '') return refused('its namespace has no label bytetrade.io/ns-owner', NO_CLAIM);
    if (of === undefined || SYSTEM_OR_SHARED_NAMESPACE.test(namespace))
      return refused("its namespace is no app's: it must be named <app>-<owner of the namespace>", NO_CLAIM);
    const claim = this.claimOf(namespace, of);
    if (owned.isBeingDeleted || object.isBeingDeleted) return { kind: 'inactive', claim };
    if (size > 1)
      return { ...refused('its namespace has several manifests, so that none of them counts', claim), of };
    if (isWaiting && !object.isParsed) return undefined;
    const manifest = object.manifest();
    if ('refused' in manifest) return { ...refused(manifest.refused, claim), line: manifest.line, of };
    if (manifest.app !== of.app)
      return { ...refused('metadata.name is not the app that its namespace is named after', claim), of };
    const { approved, ...divided } = this.divided(manifest, of);
    const { serviceAccount, warnings, lines } = manifest;
    const installed = { ...of, ...divided, namespace, serviceAccount };
    const statements = { lines, approved };
    return { kind: 'installed', installed, installedAtMs: object.createdAtMs, warnings, statements };
  }

  /** Returns what an app keeps while its manifest cannot be read: what that stated last, as far as it is the app's by now. */
  private claimOf(namespace: string, of: Pick<InstalledApp, 'user' | 'app'>): StatedClaim {
    const readable = this.reported.get(namespace)?.readable;
    const manifest = readable?.manifest();
    if (readable === undefined || manifest === undefined || 'refused' in manifest) return NO_CLAIM;
    if (manifest.app !== of.app) return NO_CLAIM;
    const { grants } = this.divided(manifest, of);
    return { installed: { ...of, grants }, installedAtMs: readable.createdAtMs };
  }

  private divided({ grants }: Manifest, { user, app }: Pick<InstalledApp, 'user' | 'app'>) {
    const ofUser = { apps: this.owners.appsOf(user), reserved: this.reserved };
    return dividedGrants(grants, app, ofUser, (key) => this.approvals.isApproved(user, app, key));
  }
}

function refused(reason: string, claim: StatedClaim): Extract<GrantReading, { readonly kind: 'refused' }> {
  return { kind: 'refused', reason, claim };
}

function namespaceOf(app: string, user: string): string {
  return `${app}-${user}`;
}

/** No other feed names a source so. */
function sourceOf(key: string): string {
  return `${KIND} ${key}`;
}
