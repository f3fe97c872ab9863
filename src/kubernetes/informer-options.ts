import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { KubeObject } from './kube-object';
import type { KubernetesApi, KubernetesFailure } from './kubernetes-api';

export interface InformerOptions<T> {
  /** Such as `/apis/sys.bytetrade.io/v1alpha1/applicationpermissions`, for all namespaces. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** A larger page of a list is asked for again with fewer objects, so that objects of strangers cannot fill our memory. */
  readonly maxPageBytes?: number;
  /** A kind that the cluster does not have (404) counts as listed and empty; it may be installed later. */
  readonly absentIsEmpty?: boolean;
  /** Returns the part of an object that is needed, so that the rest of 100,000 objects is not held. It must not throw. */
  readonly read: (object: KubeObject) => T;
  /**
   * Called in the same synchronous step in which the mirror changes. A list calls it only for objects whose value is not
   * deeply equal to the previous one.
   */
  readonly onPut?: (key: string, value: T) => void;
  readonly onRemoved?: (key: string) => void;
  /** Called after each complete list and its puts and removals. */
  readonly onListed?: () => void;
  /** Called after each failure, before the pause that follows. */
  readonly onFailed?: () => void;
  /** Called when the mirror has become older than `maxAgeMs`, and when it is synced again. Without it, both are logged. */
  readonly onOutdated?: (isOutdated: boolean) => void;
}

/** The state of one informer, as it is observed. */
export interface ObservedWatch {
  readonly path: string;
  /** Time since the server last proved that the mirror is complete; Infinity before the first list. */
  ageMs(): number;
  /** False from a failure until the next sync, and before the first list. */
  readonly up: boolean;
  /** The failure that repeats; undefined where none does. */
  readonly lasting: LastingSyncError | undefined;
}

export interface LastingSyncError {
  /** `watch`: each watch is refused, but lists are answered; `list`: lists fail too, so that the mirror is outdated. */
  readonly of: 'list' | 'watch';
  readonly failure: KubernetesFailure;
}

export interface WatchObserver {
  watchBegins(watch: ObservedWatch): void;
  watchEnds(watch: ObservedWatch): void;
}

export interface InformerDeps {
  readonly api: KubernetesApi;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Returns a number from 0 up to 1. */
  readonly random?: () => number;
  readonly watches?: WatchObserver;
  /** How old the mirror may get before it no longer counts; GRANTS_MAX_AGE_S. */
  readonly maxAgeMs?: number;
}
