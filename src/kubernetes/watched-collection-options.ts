import type { MonotonicTime } from '../clock/monotonic-time';
import type { LogEvent } from '../logging/log';
import type { KubeObject } from './kube-object';
import type { KubernetesApi } from './kubernetes-api';

/** What a collection's reader keeps of one object, and the version that it was read from. */
export interface Held<T> {
  readonly version: string;
  readonly uid: string;
  readonly value: T;
}

export interface WatchedCollectionOptions<T> {
  /** e.g. `/apis/sys.bytetrade.io/v1alpha1/applicationpermissions`: all namespaces. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Takes what is needed, so that the rest of 100,000 objects is not held. It must not throw. */
  readonly read: (object: KubeObject) => T;
  /** Told in the same synchronous step in which the collection changes. */
  readonly onPut?: (key: string, value: T) => void;
  readonly onRemoved?: (key: string) => void;
  /** After each complete list, behind its puts and removals. */
  readonly onListed?: () => void;
}

/** One collection as whoever observes the watches sees it. */
export interface ObservedWatch {
  readonly path: string;
  /** Since the server last proved that we know all; Infinity before the first list. */
  ageMs(): number;
  /** False from a failure until the next proof, and before the first list. */
  readonly up: boolean;
  /** Why the server refuses each watch although it answers; undefined where it does not. */
  readonly refusal: string | undefined;
}

export interface WatchObserver {
  watchBegins(watch: ObservedWatch): void;
  watchEnds(watch: ObservedWatch): void;
}

export interface CollectionSurroundings {
  readonly api: KubernetesApi;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** 0 up to 1. */
  readonly random?: () => number;
  readonly watches?: WatchObserver;
}
