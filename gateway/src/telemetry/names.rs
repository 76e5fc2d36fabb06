//! Every metric and every label, in one place.
//!
//! Names follow the OpenTelemetry HTTP conventions in Prometheus form: seconds, bytes, `_total`
//! for counters. Label values come from closed sets or from names in the configuration, never
//! from a request.

/// Buckets of every duration histogram, in seconds: the OpenTelemetry advice plus 1 ms and 2.5 ms.
pub const DURATION_BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Time from the head of a request to the last byte of its reply.
pub const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Requests being answered now.
pub const ACTIVE_REQUESTS: &str = "http_server_active_requests";
/// Time of one attempt at an upstream, from picking the endpoint to its outcome.
pub const ATTEMPT_DURATION: &str = "http_client_request_duration_seconds";
/// Time of a request that was not spent waiting for an upstream.
pub const OVERHEAD: &str = "gateway_overhead_seconds";
/// Further attempts, by the reason that allowed them.
pub const RETRIES: &str = "gateway_retries_total";
/// Retries refused because the budget was spent.
pub const RETRY_BUDGET_EXHAUSTED: &str = "gateway_retry_budget_exhausted_total";
/// 0 passing, 1 probing, 2 tripped: the worst breaker of the upstream.
pub const CIRCUIT_STATE: &str = "gateway_circuit_state";
/// Breaker transitions by the state entered.
pub const CIRCUIT_TRANSITIONS: &str = "gateway_circuit_transitions_total";
/// Requests over a limit; `scope` is `enforced` or `dry_run`.
pub const RATE_LIMITED: &str = "gateway_rate_limited_total";
/// Authentication decisions.
pub const AUTH: &str = "gateway_auth_total";
/// Answers by fallback.
pub const FALLBACK: &str = "gateway_fallback_total";
/// Endpoints by state.
pub const UPSTREAM_ENDPOINTS: &str = "gateway_upstream_endpoints";
/// Seconds since the registry last answered for a service.
pub const DISCOVERY_AGE: &str = "gateway_discovery_age_seconds";
/// Answers of the registry; `result` is `changed`, `unchanged` or `held`.
pub const DISCOVERY_UPDATES: &str = "gateway_discovery_updates_total";
/// Failed queries of the registry.
pub const DISCOVERY_ERRORS: &str = "gateway_discovery_watch_errors_total";
/// Reloads by result: `applied` or `refused`.
pub const RELOADS: &str = "gateway_config_reloads_total";
/// 1 if the last reload was applied.
pub const LAST_RELOAD_OK: &str = "gateway_config_last_reload_successful";
/// Always 1; the label carries the generation in use.
pub const REVISION: &str = "gateway_config_revision_info";
/// Requests refused on the connection, before they had a route.
pub const REFUSED_EARLY: &str = "gateway_connection_refusals_total";
/// Plugin faults by kind: `error` or `panic`.
pub const PLUGIN_ERRORS: &str = "portcullis_plugin_errors_total";
/// Access-log lines that did not fit the buffer.
pub const LOG_LINES_DROPPED: &str = "gateway_log_lines_dropped_total";
/// Connections open now.
pub const CONNECTIONS: &str = "gateway_connections";
/// Always 1; the label carries the version.
pub const BUILD_INFO: &str = "gateway_build_info";
