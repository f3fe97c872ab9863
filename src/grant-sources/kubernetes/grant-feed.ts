import type { GrantStatements, InstalledApp } from '../../authz/grant';
import type { SysDataWarning } from '../../authz/sys-data';
import type { Claim } from '../../authz/workspace-holders';
import { Informer, type InformerDeps, type InformerOptions } from '../../kubernetes/informer';
import type { KubeObject } from '../../kubernetes/kube-object';
import type { OlaresRelease } from '../../kubernetes/olares-release';

/** The claim that an app keeps while it grants nothing; undefined where it cannot be read. */
export type StatedClaim = Omit<Claim, 'source'>;

/** The result of reading one resource. */
export type GrantReading =
  | {
      readonly kind: 'installed';
      readonly installed: InstalledApp;
      readonly installedAtMs: number;
      readonly warnings: readonly (SysDataWarning | { readonly line: number; readonly reason: string })[];
      readonly statements?: Pick<GrantStatements, 'lines' | 'approved'>;
    }
  /** The app is not installed, or not yet: the resource counts for nothing. */
  | { readonly kind: 'outside' }
  /** Its state says that it grants nothing now. */
  | { readonly kind: 'inactive'; readonly claim: StatedClaim | undefined }
  /** What is left of an app that is not installed, or of an Olares that has no such resources: it counts for nothing. */
  | { readonly kind: 'leftover'; readonly reason: string }
  /** It should grant something and cannot; the reason names fields, never their content. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      /** 1-based, in the text of a manifest. */
      readonly line?: number;
      readonly claim: StatedClaim | undefined;
      /** The app whose resource it is by its place, where that alone says so. */
      readonly of?: Pick<InstalledApp, 'user' | 'app'>;
    };

/** What a feed reports to; each call takes effect in the same synchronous step. */
export interface GrantFeedObserver {
  /** @param source names the resource for an operator, and is unique among all feeds */
  put(source: string, reading: GrantReading): void;
  remove(source: string): void;
  /** To be called after each complete list and its puts and removals. */
  listed(): void;
  /** To be called when the feed has become older than its maximum age, and when it no longer is. */
  outdated(): void;
}

/** The resources of one kind that state grants. */
export interface GrantFeed {
  /** Plural, for operators: `ApplicationPermissions`; empty where it states no grants. */
  readonly name: string;
  /** Which Olares was found, where the feed finds that out. */
  readonly olares?: OlaresRelease;
  start(): void;
  /** Resolves with the first complete list, or with the first failure if that comes first. */
  readonly firstOutcome: Promise<void>;
  /** True once everything that the feed needs was listed. Kinds that the cluster does not have are listed and empty. */
  readonly listed: boolean;
  /** Time since the feed was last known to be complete; Infinity before. */
  ageMs(): number;
  /** The failure that repeats, in a few words. */
  readonly syncError: string | undefined;
  stop(): Promise<void>;
}

/** @param kind claims of one kind must not name one app twice; see GrantIndex */
export type OpenGrantFeed = (deps: InformerDeps, observer: (kind: string) => GrantFeedObserver) => GrantFeed;

/** The resources of one collection, of which each alone says what it grants. */
export interface ResourceKind extends Pick<InformerOptions<unknown>, 'path' | 'labelSelector'> {
  readonly kind: string;
  readonly read: (object: KubeObject) => GrantReading;
  /** Stands before `<namespace>/<name>` in the name of a source. */
  readonly sourcePrefix: string;
}

export function resourceFeed({ kind, read, sourcePrefix, ...selection }: ResourceKind): OpenGrantFeed {
  return (deps, observerOf) => {
    const observer = observerOf(kind);
    const informer = new Informer<GrantReading>(
      {
        ...selection,
        absentIsEmpty: true,
        read,
        onPut: (key, reading) => observer.put(sourcePrefix + key, reading),
        onRemoved: (key) => observer.remove(sourcePrefix + key),
        onListed: () => observer.listed(),
        onOutdated: () => observer.outdated(),
      },
      deps,
    );
    return new InformedFeed(`${kind}s`, [informer]);
  };
}

/** Returns a feed of what the settings state: it only names it among the sources of grants. */
export function namedFeed(name: string): OpenGrantFeed {
  return () => ({
    name,
    firstOutcome: Promise.resolve(),
    listed: true,
    syncError: undefined,
    start: () => undefined,
    ageMs: () => 0,
    stop: () => Promise.resolve(),
  });
}

type FeedInformer = Pick<Informer<unknown>, 'firstOutcome' | 'listed' | 'syncError' | 'ageMs'>;

/** A feed that is as complete as its informers are. */
export class InformedFeed implements GrantFeed {
  readonly firstOutcome: Promise<void>;
  private readonly informers: readonly FeedInformer[];

  /** @param others further informers that the feed needs, which somebody else starts and stops */
  constructor(
    readonly name: string,
    private readonly own: readonly (FeedInformer & Pick<Informer<unknown>, 'start' | 'stop'>)[],
    others: readonly FeedInformer[] = [],
  ) {
    this.informers = [...own, ...others];
    this.firstOutcome = Promise.all(this.informers.map((informer) => informer.firstOutcome)).then(
      () => undefined,
    );
  }

  start(): void {
    for (const informer of this.own) informer.start();
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
    await Promise.all(this.own.map((informer) => informer.stop()));
  }
}
