import { setImmediate } from 'node:timers/promises';
import type { GrantSource } from '../authz/grant-source';
import type { InformerDeps } from '../kubernetes/informer';
import {
  accessObjects,
  type AccessObjects,
  accessRoleNames,
  type AccessRoleOptions,
  accessShape,
  appOfAccessRole,
  isOwnAccessObject,
  RBAC_ROOT,
} from './access-roles';
import { OURS_SELECTOR, type Registration } from './registered-objects';
import { Reconciler, type ReconcilerOptions } from './reconciler';

/** A first start with 10,000 apps writes 40,000 objects: as slowly as this, so that the API server serves others too. */
const PACE = { atOnce: 2, perSecond: 25, burst: 50 };
/** After this time other work of the event loop gets a chance. */
const AT_ONCE_MS = 10;
/** How often an unready source of grants is asked again. */
const READY_EVERY_MS = 500;

/** The apps of this source, as far as roles need them. */
export type RoleGrants = Pick<GrantSource, 'find' | 'installedApps' | 'onChange' | 'status'>;

interface ChangedApp {
  readonly user: string;
  readonly app: string;
  readonly isUrgent: boolean;
}

/**
 * Keeps, for each app that holds grants, the ClusterRoles and bindings by which the RBAC proxy of Olares 1.12 lets it call us.
 * Objects of apps that hold none are removed, but only once the grants are completely known.
 */
export class AccessRegistrar implements Registration {
  private readonly roles: Reconciler;
  private readonly bindings: Reconciler;
  private readonly changed = new Map<string, ChangedApp>();
  private readonly stopping = new AbortController();
  private unsubscribe = (): void => undefined;
  private running: Promise<void> = Promise.resolve();
  private isReady = false;
  private isDraining = false;
  /** True once every installed app was looked at: only then an object that no app needs is left over. */
  private isComplete = false;

  constructor(
    private readonly options: AccessRoleOptions,
    private readonly grants: RoleGrants,
    private readonly deps: InformerDeps,
  ) {
    this.roles = new Reconciler(this.kept('clusterroles', 'role'), deps);
    const bindings = this.kept('clusterrolebindings', 'binding');
    // The API server refuses a binding whose role is not there.
    this.bindings = new Reconciler({ ...bindings, after: this.roles }, deps);
  }

  start(): void {
    this.unsubscribe = this.grants.onChange((user, app) => {
      if (!this.isReady) return;
      this.changed.set(`${user}:${app}`, { user, app, isUrgent: true });
      void this.drain();
    });
    this.roles.start();
    this.bindings.start();
    this.running = this.begin();
  }

  problems(): readonly string[] {
    return [...this.roles.problems(), ...this.bindings.problems()];
  }

  failing(): ReadonlyMap<string, number> {
    return new Map([this.roles, this.bindings].map(({ plural, failing }) => [plural, failing]));
  }

  async close(): Promise<void> {
    this.unsubscribe();
    this.stopping.abort();
    await Promise.all([this.roles.close(), this.bindings.close(), this.running]);
  }

  /** Waits for the first complete grants: before, an app that is missing means nothing. */
  private async begin(): Promise<void> {
    const { signal } = this.stopping;
    while (!this.grants.status().ready) {
      await this.deps.time.pause(READY_EVERY_MS, signal);
      if (signal.aborted) return;
    }
    const apps = [...this.grants.installedApps()];
    // Replicas that start together begin at different apps, so that each finds most of the others' work done.
    const first = Math.floor((this.deps.random ?? Math.random)() * apps.length);
    for (const { user, app } of [...apps.slice(first), ...apps.slice(0, first)])
      this.changed.set(`${user}:${app}`, { user, app, isUrgent: false });
    this.isReady = true;
    await this.drain();
    this.isComplete = true;
    this.roles.checkAll();
    this.bindings.checkAll();
  }

  private async drain(): Promise<void> {
    if (this.isDraining) return;
    this.isDraining = true;
    let sinceMs = performance.now();
    for (const [key, change] of this.changed) {
      this.changed.delete(key);
      this.update(change);
      if (this.stopping.signal.aborted) return;
      if (performance.now() - sinceMs <= AT_ONCE_MS) continue;
      await setImmediate();
      sinceMs = performance.now();
    }
    this.isDraining = false;
  }

  private update({ user, app, isUrgent }: ChangedApp): void {
    const objects = accessObjects(this.grants.find(user, app), this.options);
    for (const { role, binding } of objects) {
      this.roles.want(role, isUrgent);
      this.bindings.want(binding, isUrgent);
    }
    if (objects.length > 0) return;
    for (const name of accessRoleNames(user, app)) {
      this.bindings.unwant('', name);
      this.roles.unwant('', name);
    }
  }

  private kept(plural: string, part: keyof AccessObjects): ReconcilerOptions {
    const { endpoint } = this.options;
    return {
      root: RBAC_ROOT,
      plural,
      labelSelector: OURS_SELECTOR,
      shapeOf: (_namespace, name) => accessShape(name)?.[part],
      manifestOf: (_namespace, name) => this.objectsNamed(name)?.[part],
      isOurs: (object) => isOwnAccessObject(object, endpoint),
      removes: () => this.isComplete,
      pace: PACE,
    };
  }

  private objectsNamed(name: string): AccessObjects | undefined {
    const { user, app } = appOfAccessRole(name) ?? {};
    if (user === undefined || app === undefined) return undefined;
    const objects = accessObjects(this.grants.find(user, app), this.options);
    return objects.find(({ role }) => role.metadata.name === name);
  }
}
