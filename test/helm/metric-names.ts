/** The metrics that the service serves, with their labels. */
export const METRICS: Readonly<Record<string, readonly string[]>> = {
  osp_requests_total: ['op', 'code'],
  osp_request_duration_seconds: ['op'],
  osp_denials_total: ['reason'],
  osp_upstream_calls_total: ['route', 'outcome'],
  osp_upstream_duration_seconds: ['route'],
  osp_store_ready: [],
  osp_infisical_session_expires_seconds: [],
  osp_infisical_dialect: ['dialect'],
  osp_grants_age_seconds: [],
  osp_grants_apps: [],
  osp_grants_problems: [],
  osp_shared_workspaces: [],
  osp_event_loop_delay_seconds: ['quantile'],
};
