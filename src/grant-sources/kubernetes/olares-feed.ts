import { namespaceInKey } from '../../kubernetes/kube-object';
import { nameOf } from '../../authz/grant-index';
import { Informer, type InformerDeps } from '../../kubernetes/informer';
import { LASTING_REFUSALS, type OlaresRelease, OlaresReleaseProbe } from '../../kubernetes/olares-release';
import {
  APPLICATION_MANAGERS,
  APPLICATION_PERMISSIONS,
  applicationManagerReader,
  type ManagedApp,
  type PermissionProvider,
  readApplicationPermission,
} from './olares-objects';
import type { GrantFeed, GrantFeedObserver, GrantReading, OpenGrantFeed } from './kubernetes.grant-source';

export interface OlaresFeedOptions {
  /** Whether ApplicationPermissions are read. */
  readonly permissions: boolean;
  /** How apps name us under `permission.provider`; undefined: that is not read. */
  readonly provider?: PermissionProvider;
  /** Workspaces that no app gets by its name. */
  readonly reservedWorkspaces: ReadonlySet<string>;
  readonly release: 'auto' | Exclude<OlaresRelease, 'unknown'>;
  /** Whether ApplicationPermissions count on an Olares that makes none any more. */
  readonly leftovers: 'deny' | 'grant';
}

type ObserverOf = (kind: string) => GrantFeedObserver;

/**
 * Reads what Olares itself writes: the ApplicationPermissions of up to 1.12.0, and the ApplicationManagers of all releases,
 * which say what is installed and, from 1.12.1 on, which providers an app wants to call. It finds out in any case which Olares this is.
 */
export function olaresFeed(options: OlaresFeedOptions): OpenGrantFeed {
  return (deps, observerOf) => new OlaresFeed(options, deps, observerOf);
}

class OlaresFeed implements GrantFeed {
  readonly name: string;
  readonly firstOutcome: Promise<void>;
  private readonly permissions: Informer<GrantReading> | undefined;
  /** Undefined where nothing is read of them. */
  private readonly managers: Informer<ManagedApp> | undefined;
  private readonly probe: OlaresReleaseProbe;
  private readonly ofPermissions: GrantFeedObserver;
  private readonly ofManagers: GrantFeedObserver;
  /** By user, the keys of the ApplicationPermissions. */
  private readonly keysOfUser = new Map<string, Set<string>>();
  private readonly managed = new Map<string, ManagedApp>();
  /**
   * True where the API server refuses us the ApplicationManagers, as with the roles of an older chart, until it lists them: that
   * it is away for a while changes nothing. Without `provider` they only tell leftovers, and ApplicationPermissions then count
   * as they always did.
   */
  private isUnreadable = false;
  private managerRefusals = 0;
  /** By app and user, the keys of the ApplicationManagers. */
  private readonly managersOf = new Map<string, readonly string[]>();
  /** Why ApplicationPermissions are leftovers, by key. */
  private readonly leftovers = new Map<string, string>();

  constructor(
    private readonly options: OlaresFeedOptions,
    deps: InformerDeps,
    observerOf: ObserverOf,
  ) {
    this.ofPermissions = observerOf('ApplicationPermission');
    this.ofManagers = observerOf('ApplicationManager');
    this.permissions = options.permissions ? this.permissionInformer(deps) : undefined;
    const needsManagers = options.permissions || options.provider !== undefined;
    this.managers = needsManagers ? this.managerInformer(deps) : undefined;
    this.probe = new OlaresReleaseProbe(options.release, deps, () => this.releaseFound());
    const names = [
      ...(options.permissions ? ['ApplicationPermissions'] : []),
      ...(options.provider === undefined ? [] : ['ApplicationManagers']),
    ];
    this.name = names.join(' and ');
    const parts = [this.permissions, this.managers, this.probe].filter((part) => part !== undefined);
    this.firstOutcome = Promise.all(parts.map((part) => part.firstOutcome)).then(() => undefined);
  }

  get olares(): OlaresRelease {
    return this.probe.release;
  }

  /** The release says which ApplicationPermissions are leftovers, and nothing else depends on it. */
  get listed(): boolean {
    const knowsPermissions = this.permissions?.listed !== false;
    const tellsLeftovers = this.permissions === undefined || this.probe.settled;
    return knowsPermissions && tellsLeftovers && (this.managers?.listed !== false || this.isUnreadable);
  }

  get syncError(): string | undefined {
    const ofProbe = this.probe.settled ? undefined : this.probe.syncError;
    return this.permissions?.syncError ?? this.managers?.syncError ?? ofProbe;
  }

  start(): void {
    this.probe.start();
    this.permissions?.start();
    this.managers?.start();
  }

  ageMs(): number {
    const ofManagers = this.isUnreadable ? 0 : (this.managers?.ageMs() ?? 0);
    return Math.max(this.permissions?.ageMs() ?? 0, ofManagers);
  }

  async stop(): Promise<void> {
    await Promise.all([this.probe.stop(), this.permissions?.stop(), this.managers?.stop()]);
  }

  private permissionInformer(deps: InformerDeps): Informer<GrantReading> {
    return new Informer<GrantReading>(
      {
        path: APPLICATION_PERMISSIONS,
        absentIsEmpty: true,
        read: readApplicationPermission,
        onPut: (key) => {
          const user = userOf(key);
          this.keysOfUser.set(user, (this.keysOfUser.get(user) ?? new Set()).add(key));
          this.judge(key);
        },
        onRemoved: (key) => {
          const keys = this.keysOfUser.get(userOf(key));
          keys?.delete(key);
          if (keys?.size === 0) this.keysOfUser.delete(userOf(key));
          this.leftovers.delete(key);
          this.ofPermissions.remove(key);
        },
        onListed: () => this.ofPermissions.listed(),
        onOutdated: () => this.ofPermissions.outdated(),
      },
      deps,
    );
  }

  private managerInformer(deps: InformerDeps): Informer<ManagedApp> {
    const { provider, reservedWorkspaces } = this.options;
    return new Informer<ManagedApp>(
      {
        path: APPLICATION_MANAGERS,
        absentIsEmpty: true,
        read: applicationManagerReader(provider, reservedWorkspaces),
        onPut: (key, managed) => {
          const before = this.managed.get(key);
          this.managed.set(key, managed);
          this.regroup(key, before, managed);
          if (provider !== undefined) this.ofManagers.put(sourceOf(key), managed.reading);
        },
        onRemoved: (key) => {
          const before = this.managed.get(key);
          this.managed.delete(key);
          this.regroup(key, before, undefined);
          if (provider !== undefined) this.ofManagers.remove(sourceOf(key));
        },
        onListed: () => {
          this.isUnreadable = false;
          this.managerRefusals = 0;
          this.ofManagers.listed();
        },
        // Refused for good, they are no longer waited for; an API server that has just started refuses us everything.
        onFailed: ({ status }) => {
          this.managerRefusals = status === 403 ? this.managerRefusals + 1 : 0;
          const isRefused = this.managerRefusals >= LASTING_REFUSALS && this.arePermissionsShown;
          if (provider !== undefined || this.isUnreadable || !isRefused) return;
          this.isUnreadable = true;
          this.ofManagers.listed();
        },
        onOutdated: () => this.ofManagers.outdated(),
      },
      deps,
    );
  }

  /** True also where they are shown by lists alone, as each watch is refused. */
  private get arePermissionsShown(): boolean {
    const { up, listed, lasting } = this.permissions ?? {};
    return up === true || (listed === true && lasting?.of === 'watch');
  }

  /** Notes which app a manager is about, and judges the permissions of its user anew. */
  private regroup(key: string, before: ManagedApp | undefined, now: ManagedApp | undefined): void {
    if (before !== undefined) {
      const others = (this.managersOf.get(nameOf(before)) ?? []).filter((other) => other !== key);
      if (others.length > 0) this.managersOf.set(nameOf(before), others);
      else this.managersOf.delete(nameOf(before));
    }
    if (now !== undefined)
      this.managersOf.set(nameOf(now), [...(this.managersOf.get(nameOf(now)) ?? []), key]);
    for (const user of new Set([before?.user, now?.user])) this.judgeAgain(user ?? '');
  }

  private releaseFound(): void {
    for (const user of this.keysOfUser.keys()) this.judgeAgain(user);
    this.ofPermissions.listed();
  }

  private judgeAgain(user: string): void {
    for (const key of this.keysOfUser.get(user) ?? []) {
      const reading = this.permissions?.get(key);
      if (reading !== undefined && this.leftoverBecause(reading) !== this.leftovers.get(key)) this.judge(key);
    }
  }

  /** Reports a permission as it reads, or as a leftover. */
  private judge(key: string): void {
    const reading = this.permissions?.get(key);
    if (reading === undefined) return;
    const reason = this.leftoverBecause(reading);
    if (reason === undefined) this.leftovers.delete(key);
    else this.leftovers.set(key, reason);
    this.ofPermissions.put(key, reason === undefined ? reading : { kind: 'leftover', reason });
  }

  /**
   * Up to 1.12.0 an app that was uninstalled is told by its manager alone: the system's own apps have permissions and no
   * manager. Later releases withdraw no permission, so that only an app which is certainly installed may keep its own.
   */
  private leftoverBecause(reading: GrantReading): string | undefined {
    if (reading.kind === 'notInstalled') return undefined;
    const isSince = this.probe.release === 'since-1.12.1';
    if (isSince && this.options.leftovers === 'deny')
      return 'leftover: Olares 1.12.1 and later neither makes nor withdraws ApplicationPermissions';
    const installed = installedIn(reading);
    if (installed === undefined) return undefined;
    const managers = this.managersOf.get(nameOf(installed)) ?? [];
    const states = managers.map((key) => this.managed.get(key)?.state);
    if (isSince) {
      const isHere = states.some((state) => state === 'installed' || state === 'stopped');
      return isHere ? undefined : 'leftover: the app is not installed';
    }
    const isGone = states.length > 0 && states.every((state) => state === 'uninstalled');
    return isGone ? 'leftover: the app was uninstalled' : undefined;
  }
}

/** Returns the app that a resource is about, where it can be read. */
function installedIn(reading: GrantReading): { readonly user: string; readonly app: string } | undefined {
  if (reading.kind === 'installed') return reading.installed;
  return 'claim' in reading ? reading.claim?.installed : undefined;
}

function userOf(key: string): string {
  return namespaceInKey(key).replace(/^user-system-/, '');
}

/** A source is unique among all feeds; ApplicationPermissions have a namespace before the slash. */
function sourceOf(key: string): string {
  return `applicationmanagers/${key}`;
}
