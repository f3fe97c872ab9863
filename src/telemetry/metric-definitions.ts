/** The definition of a metric. The table of docs/telemetry.md is generated from these, and tests check the chart's alerts against them. */
export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  /** Each label, and its few values: never a user, an app, a workspace or a secret's name. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Upper bounds, in the unit of the name. */
  readonly buckets?: readonly number[];
}

/** From a read from memory to an operation that ran out of time. */
const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];

const OP = 'one of the five operations, `access` for access tokens, or `other`';
const ROUTE = "method and path template of Infisical's API";

/** All metrics of our own. The library adds its `nodejs_` and `process_` metrics. */
export const METRIC_DEFINITIONS = {
  osp_requests_total: {
    type: 'counter',
    help: 'Requests that were answered, probes left out.',
    labels: { op: OP, code: "the documented HTTP status, whatever style of answer the caller reads; `499`: the caller went away" }, // prettier-ignore
  },
  osp_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from the head of a request to the end of its answer.',
    labels: { op: OP },
    buckets: LATENCY_SECONDS,
  },
  osp_denials_total: {
    type: 'counter',
    help: 'Requests that were refused with 401 or 403.',
    labels: { reason: 'the reason of docs/errors.md' },
  },
  osp_store_ready: {
    type: 'gauge',
    help: 'Whether the store answers and accepts our credential, 1 or 0, as readiness sees it.',
  },
  osp_upstream_calls_total: {
    type: 'counter',
    help: 'Calls to Infisical that were sent.',
    labels: { route: ROUTE, outcome: '`ok`, also for a refusal that is the right answer; `cancelled`: nobody waited for the answer any more; or the reason that the log names' }, // prettier-ignore
  },
  osp_upstream_duration_seconds: {
    type: 'histogram',
    help: 'Time that one call to Infisical took, without its wait under the rate limits.',
    labels: { route: ROUTE },
    buckets: LATENCY_SECONDS,
  },
  osp_infisical_session_expires_seconds: {
    type: 'gauge',
    help: 'Time until the session with Infisical ends; below zero once it has. Absent before the first login.',
  },
  osp_infisical_api_version: {
    type: 'gauge',
    help: 'The API version of Infisical that was detected: 1 for it, 0 for the others.',
    labels: { api_version: '`fork`, `v3` or `v4`' },
  },
  osp_infisical_calls_waiting: {
    type: 'gauge',
    help: "Calls that wait for Infisical's rate limits.",
  },
  osp_infisical_call_wait_seconds: {
    type: 'histogram',
    help: "How long calls waited for Infisical's rate limits, without those that did not wait.",
    buckets: [0.1, 0.5, 1, 2.5, 5, 10, 20, 60],
  },
  osp_infisical_calls_refused_total: {
    type: 'counter',
    help: "Calls that were not sent since Infisical's rate limits did not allow them in time.",
  },
  osp_infisical_writes: {
    type: 'gauge',
    help: 'Writes to Infisical that have begun and not ended.',
    labels: { state: '`waiting` in the queue, or `under_way`' },
  },
  osp_cache_reads_total: {
    type: 'counter',
    help: 'Reads by how they were answered.',
    labels: { outcome: '`hit`: from memory; `miss`: by the store; `stale`: from memory, since the store could not be asked' }, // prettier-ignore
  },
  osp_cache_evictions_total: {
    type: 'counter',
    help: 'Workspaces that were evicted from the cache since it was full.',
  },
  osp_cache_entries: { type: 'gauge', help: 'Workspaces (by environment) that the cache holds.' },
  osp_cache_bytes: { type: 'gauge', help: 'Memory that the cache takes.' },
  osp_redis_up: {
    type: 'gauge',
    help: 'Whether both connections to Redis work, 1 or 0. Absent where there is no REDIS_URL.',
  },
  osp_scope_locks_total: {
    type: 'counter',
    help: 'Writes by how they got the lock of their scope in Redis.',
    labels: { outcome: '`held`; `alone`: without it, since Redis did not answer; `late`: another replica held it too long; `lost`: it expired while it was held' }, // prettier-ignore
  },
  osp_dependency_up: {
    type: 'gauge',
    help: 'Whether a service that authenticates callers answers, 1 or 0; absent where it is not used.',
    labels: { dependency: '`lldap`: for user tokens (`LLDAP_URL`); `token_review`: the Kubernetes API server, for ServiceAccount tokens' }, // prettier-ignore
  },
  osp_audit_records_total: {
    type: 'counter',
    help: 'Records of the audit trail. Absent with AUDIT=off.',
    labels: { result: '`taken`, or `refused`: not taken in time, so that the operation was refused' },
  },
  osp_grants_apps: { type: 'gauge', help: 'Installed apps that are served.' },
  osp_grants_problems: { type: 'gauge', help: 'Grants that an operator should correct; the log names them.' },
  osp_grants_pending: {
    type: 'gauge',
    help: 'Grants that apps state outside of their own workspaces and nobody has approved yet; they grant nothing.',
  },
  osp_grants_age_seconds: {
    type: 'gauge',
    help: 'How long ago the grants were last confirmed; 0 where they are read from a folder, +Inf before the first list.',
  },
  osp_shared_workspaces: {
    type: 'gauge',
    help: 'Workspaces on which several apps of one user hold grants.',
  },
  osp_user_removals_pending: {
    type: 'gauge',
    help: 'Deleted users whose workspaces are not removed yet, as this replica last saw it.',
  },
  osp_watch_up: {
    type: 'gauge',
    help: 'Whether all watches of a resource of the Kubernetes API work, 1 or 0.',
    labels: { resource: 'the plural of the resource, e.g. `applicationpermissions`' },
  },
  osp_watch_age_seconds: {
    type: 'gauge',
    help: 'How long ago the API server last proved that nothing of a resource was missed; +Inf before the first list.',
    labels: { resource: 'the same' },
  },
  osp_registrations_failing: {
    type: 'gauge',
    help: 'Objects that register this service and cannot be created, patched or removed. Absent where nothing is registered.',
    labels: {
      resource: '`providerregistries`, `syseventregistries`, `clusterroles` or `clusterrolebindings`',
    },
  },
  osp_requests_in_flight: { type: 'gauge', help: 'Requests that are in flight, without probes.' },
  osp_request_body_bytes: {
    type: 'gauge',
    help: 'Memory that is reserved for bodies of requests.',
  },
  osp_answer_bytes: { type: 'gauge', help: 'Bytes of large answers that their clients have not read yet.' },
  osp_connections: { type: 'gauge', help: 'Open connections of callers, without those of the metrics port.' },
  osp_requests_refused_total: {
    type: 'counter',
    help: 'Requests of authenticated callers that our own bounds refused with 429.',
    labels: {
      bound:
        "`app`, `user`: whose rate limit is exceeded; `in_flight`, `bodies`, `answers`: the caller's share of requests, of memory for bodies or for answers is taken",
      kind: '`read` or `write`',
    },
  },
  osp_requests_shed_total: {
    type: 'counter',
    help: 'Requests and connections that were refused since the service was overloaded.',
    labels: {
      cause:
        '`in_flight`: too many are in flight; `event_loop`: it runs late; `queue`: too many requests of one address wait to be begun; `bodies`, `answers`: they take too much memory; `connections`: of one address, or in all; `pipelined`: too many unanswered ones on one connection; `pieces`: a body in too many short ones',
    },
  },
  osp_quota_refusals_total: {
    type: 'counter',
    help: 'Writes that were refused with 507 since a workspace or a user would have held too much.',
    labels: { limit: '`workspace_secrets`, `workspace_bytes`, `user_secrets` or `user_bytes`' },
  },
  osp_disk_storable_bytes: {
    type: 'gauge',
    help: 'What the disk of the embedded store can take before creates and updates are refused; 0: they are. Absent with Infisical.',
  },
  osp_store_queue_calls: {
    type: 'gauge',
    help: 'Operations on Infisical, by where they are.',
    labels: { state: '`waiting` in the queue, or `under_way`' },
  },
  osp_store_queue_refused_total: {
    type: 'counter',
    help: 'Operations that were refused since the queue for Infisical was full, or too slow.',
  },
  osp_store_breaker_state: {
    type: 'gauge',
    help: 'The breaker before Infisical: 1 for the state that it is in, 0 for the others.',
    labels: { state: '`closed`: calls pass; `open`: they fail at once; `half_open`: one passes, as a trial' },
  },
  osp_store_breaker_transitions_total: {
    type: 'counter',
    help: 'How often the breaker changed its state.',
    labels: { to: 'the same' },
  },
  osp_event_loop_delay_seconds: {
    type: 'summary',
    help: 'How late the event loop ran since the last scrape.',
    labels: { quantile: '`0.5`, `0.9`, `0.99` and `1`, the longest' },
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRIC_DEFINITIONS;

/** The names of the metrics of one type. */
export type NameOf<T extends MetricDefinition['type']> = {
  [N in MetricName]: (typeof METRIC_DEFINITIONS)[N]['type'] extends T ? N : never;
}[MetricName];
