import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { KubeObject } from './kube-object';
import type { KubernetesApi, KubernetesFailure } from './kubernetes-api';

export interface InformerOptions<T> {
  /** e.g. `/apis/sys.bytetrade.io/v1alpha1/applicationpermissions`: all namespaces. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Takes what is needed, so that the rest of 100,000 objects is not held. It must not throw. */
  readonly read: (object: KubeObject) => T;
  /**
   * Told in the same synchronous step in which the collection changes. A list tells of an object only where what was read of
   * it is not deeply equal to what was known.
   */
  readonly onPut?: (key: string, value: T) => void;
  readonly onRemoved?: (key: string) => void;
  /** After each complete list, behind its puts and removals. */
  readonly onListed?: () => void;
  /** When it has become older than counts, and when it counts again. Without, the log is told. */
  readonly onOutdated?: (isOutdated: boolean) => void;
}

/** One collection as whoever observes the watches sees it. */
export interface ObservedWatch {
  readonly path: string;
  /** Since the server last proved that we know all; Infinity before the first list. */
  ageMs(): number;
  /** False from a failure until the next proof, and before the first list. */
  readonly up: boolean;
  /** What fails again and again; undefined where nothing does. */
  readonly lasting: LastingSyncError | undefined;
}

export interface LastingSyncError {
  /** `watch`: each watch is refused, but lists are answered; `list`: nothing is learnt any more. */
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
  /** 0 up to 1. */
  readonly random?: () => number;
  readonly watches?: WatchObserver;
  /** How old what is known may get at most before nothing is decided on it; GRANTS_MAX_AGE_S. */
  readonly maxAgeMs?: number;
}
