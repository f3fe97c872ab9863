/** The definition of a metric. The table of docs/telemetry.md is generated from these, and tests check the chart's alerts against them. */
export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  /** Each label, and its few values: never a user, an app, a workspace or a secret's name. */
  readonly labels: Readonly<Record<string, string>>;
}

type Labels = MetricDefinition['labels'];

const counter = (help: string, labels: Labels = {}) => ({ type: 'counter', help, labels }) as const;
const gauge = (help: string, labels: Labels = {}) => ({ type: 'gauge', help, labels }) as const;
const summary = (help: string, labels: Labels) => ({ type: 'summary', help, labels }) as const;
/** @param buckets upper bounds, in the unit of the name */
const histogram = (help: string, buckets: readonly number[], labels: Labels = {}) =>
  ({ type: 'histogram', help, buckets, labels }) as const;

/** From a read from memory to an operation that ran out of time. */
const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];

const OP = 'one of the five operations, `access` for access tokens, or `other`';
const ROUTE = "method and path template of Infisical's API";

/** All metrics of our own. The library adds its `nodejs_` and `process_` metrics. */
export const METRIC_DEFINITIONS = {
  osp_requests_total: counter('Requests that were answered, probes left out.', {
    op: OP,
    code: 'the documented HTTP status, whatever style of answer the caller reads; `499`: the caller went away',
  }),
  osp_request_duration_seconds: histogram(
    'Time from the head of a request to the end of its answer.',
    LATENCY_SECONDS,
    { op: OP },
  ),
  osp_denials_total: counter('Requests that were refused with 401 or 403.', {
    reason: 'the reason of docs/errors.md',
  }),
  osp_store_ready: gauge(
    'Whether the store answers and accepts our credential, 1 or 0, as readiness sees it.',
  ),
  osp_upstream_calls_total: counter('Calls to Infisical that were sent.', {
    route: ROUTE,
    outcome:
      '`ok`, also for a refusal that is the right answer; `cancelled`: nobody waited for the answer any more; or the reason that the log names',
  }),
  osp_upstream_duration_seconds: histogram(
    'Time that one call to Infisical took, without its wait under the rate limits.',
    LATENCY_SECONDS,
    { route: ROUTE },
  ),
  osp_infisical_session_expires_seconds: gauge(
    'Time until the session with Infisical ends; below zero once it has. Absent before the first login.',
  ),
  osp_infisical_api_version: gauge(
    'The API version of Infisical that was detected: 1 for it, 0 for the others.',
    { api_version: '`fork`, `v3` or `v4`' },
  ),
  osp_infisical_calls_waiting: gauge("Calls that wait for Infisical's rate limits."),
  osp_infisical_call_wait_seconds: histogram(
    "How long calls waited for Infisical's rate limits, without those that did not wait.",
    [0.1, 0.5, 1, 2.5, 5, 10, 20, 60],
  ),
  osp_infisical_calls_refused_total: counter(
    "Calls that were not sent since Infisical's rate limits did not allow them in time.",
  ),
  osp_infisical_writes: gauge('Writes to Infisical that have begun and not ended.', {
    state: '`waiting` in the queue, or `under_way`',
  }),
  osp_cache_reads_total: counter('Reads by how they were answered.', {
    outcome:
      '`hit`: from memory; `miss`: by the store; `stale`: from memory, since the store could not be asked or did not answer in time',
  }),
  osp_cache_evictions_total: counter('Workspaces that were evicted from the cache since it was full.'),
  osp_cache_entries: gauge('Workspaces (by environment) that the cache holds.'),
  osp_cache_bytes: gauge('Memory that the cache takes.'),
  osp_redis_up: gauge('Whether both connections to Redis work, 1 or 0. Absent where there is no REDIS_URL.'),
  osp_scope_locks_total: counter('Writes by how they got the lock of their scope in Redis.', {
    outcome:
      '`held`; `alone`: without it, since Redis did not answer; `late`: another replica held it too long; `lost`: it expired while it was held',
  }),
  osp_dependency_up: gauge(
    'Whether a service that authenticates callers answers, 1 or 0; absent where it is not used.',
    {
      dependency:
        '`lldap`: for user tokens (`LLDAP_URL`); `token_review`: the Kubernetes API server, for ServiceAccount tokens',
    },
  ),
  osp_audit_records_total: counter('Records of the audit trail. Absent with AUDIT=off.', {
    result: '`taken`, or `refused`: not taken in time, so that the operation was refused',
  }),
  osp_grants_apps: gauge('Installed apps that are served.'),
  osp_grants_problems: gauge('Grants that an operator should correct; the log names them.'),
  osp_grants_pending: gauge(
    'Grants that apps state outside of their own workspaces and nobody has approved yet; they grant nothing.',
  ),
  osp_grants_age_seconds: gauge(
    'How long ago the grants were last confirmed; 0 where they are read from a folder, +Inf before the first list.',
  ),
  osp_shared_workspaces: gauge('Workspaces on which several apps of one user hold grants.'),
  osp_user_removals_pending: gauge(
    'Deleted users whose workspaces are not removed yet, without those who are still in the cluster (user_removal_held), as this replica last saw it.',
  ),
  osp_watch_up: gauge('Whether all watches of a resource of the Kubernetes API work, 1 or 0.', {
    resource: 'the plural of the resource, e.g. `applicationpermissions`',
  }),
  osp_watch_age_seconds: gauge(
    'How long ago the API server last proved that nothing of a resource was missed; +Inf before the first list.',
    { resource: 'the plural of the resource, e.g. `applicationpermissions`' },
  ),
  osp_registrations_failing: gauge(
    'Objects that register this service and cannot be created, patched or removed. Absent where nothing is registered.',
    {
      resource: '`providerregistries`, `syseventregistries`, `clusterroles` or `clusterrolebindings`',
    },
  ),
  osp_requests_in_flight: gauge('Requests that are in flight, without probes.'),
  osp_request_body_bytes: gauge('Memory that is reserved for bodies of requests.'),
  osp_answer_bytes: gauge('Bytes of large answers that their clients have not read yet.'),
  osp_connections: gauge('Open connections of callers, without those of the metrics port.'),
  osp_requests_refused_total: counter(
    'Requests of authenticated callers that our own bounds refused with 429.',
    {
      bound:
        "`app`, `user`: whose rate limit is exceeded; `in_flight`, `bodies`, `answers`: the caller's share of requests, of memory for bodies or for answers is taken",
      kind: '`read` or `write`',
    },
  ),
  osp_requests_shed_total: counter(
    'Requests and connections that were refused since the service was overloaded.',
    {
      cause:
        '`in_flight`: too many are in flight; `event_loop`: it runs late; `queue`: too many requests of one address wait to be begun; `bodies`, `answers`: they take too much memory; `connections`: of one address, or in all; `pipelined`: too many unanswered ones on one connection; `pieces`: a body in too many short ones',
    },
  ),
  osp_quota_refusals_total: counter(
    'Writes that were refused with 507 since a workspace or a user would have held too much.',
    { limit: '`workspace_secrets`, `workspace_bytes`, `user_secrets` or `user_bytes`' },
  ),
  osp_disk_storable_bytes: gauge(
    'What the disk of the embedded store can take before creates and updates are refused; 0: they are. Absent with Infisical, and while the disk does not answer.',
  ),
  osp_store_queue_calls: gauge('Operations on Infisical, by where they are.', {
    state: '`waiting` in the queue, or `under_way`',
  }),
  osp_store_queue_refused_total: counter(
    'Operations that were refused since the queue for Infisical was full, or too slow.',
  ),
  osp_store_breaker_state: gauge(
    'The breaker before Infisical: 1 for the state that it is in, 0 for the others.',
    { state: '`closed`: calls pass; `open`: they fail at once; `half_open`: one passes, as a trial' },
  ),
  osp_store_breaker_transitions_total: counter('How often the breaker changed its state.', {
    to: 'the new state: `closed`, `open` or `half_open`',
  }),
  osp_event_loop_delay_seconds: summary('How late the event loop ran since the last scrape.', {
    quantile: '`0.5`, `0.9`, `0.99` and `1`, the longest',
  }),
} satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRIC_DEFINITIONS;

/** The names of the metrics of one type. */
export type NameOf<T extends MetricDefinition['type']> = {
  [N in MetricName]: (typeof METRIC_DEFINITIONS)[N]['type'] extends T ? N : never;
}[MetricName];
