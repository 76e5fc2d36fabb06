//! Every metric and every label, in one place.
//!
//! Names follow the OpenTelemetry HTTP conventions in Prometheus form: seconds, bytes, `_total`
//! for counters. Label values come from closed sets or from names in the configuration, never
//! from a request.

/// One family of metrics: its name, what it says, and its labels.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// As scrapers see it.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Label names, in the order their values are given.
    pub labels: &'static [&'static str],
}

/// Buckets of every duration histogram, in seconds: the OpenTelemetry advice plus 1 ms and 2.5 ms.
pub const DURATION_BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The label that says how a request was answered.
pub const STATUS_LABEL: &str = "http_response_status_code";

/// Time from the head of a request to the last byte of its reply.
pub const REQUEST_DURATION: Family = Family {
    name: "http_server_request_duration_seconds",
    help: "time from the head of a request to the last byte of its reply",
    labels: &["route", "http_request_method", STATUS_LABEL, "network_protocol_version"],
};
/// Requests being answered now.
pub const ACTIVE_REQUESTS: Family =
    Family { name: "http_server_active_requests", help: "requests being answered now", labels: &["route"] };
/// Time of one attempt at an upstream, from picking the endpoint to its outcome.
pub const ATTEMPT_DURATION: Family = Family {
    name: "http_client_request_duration_seconds",
    help: "time of one attempt at an upstream",
    labels: &["upstream", STATUS_LABEL, "error_type"],
};
/// Time of a request that was not spent waiting for an upstream.
pub const OVERHEAD: Family = Family {
    name: "gateway_overhead_seconds",
    help: "time of a request that was not spent waiting for an upstream",
    labels: &["route"],
};
/// Further attempts, by the reason that allowed them.
pub const RETRIES: Family = Family {
    name: "gateway_retries_total",
    help: "further attempts by the reason that allowed them",
    labels: &["route", "reason"],
};
/// Retries refused because the budget was spent.
pub const RETRY_BUDGET_EXHAUSTED: Family = Family {
    name: "gateway_retry_budget_exhausted_total",
    help: "retries refused because the budget was spent",
    labels: &["upstream"],
};
/// 0 passing, 1 probing, 2 tripped: the worst breaker of the upstream.
pub const CIRCUIT_STATE: Family =
    Family { name: "gateway_circuit_state", help: "0 passing, 1 probing, 2 tripped", labels: &["upstream"] };
/// Breaker transitions by the state entered.
pub const CIRCUIT_TRANSITIONS: Family = Family {
    name: "gateway_circuit_transitions_total",
    help: "breaker transitions by the state entered",
    labels: &["upstream", "to"],
};
/// Requests over a limit; `scope` is `enforced` or `dry_run`.
pub const RATE_LIMITED: Family = Family {
    name: "gateway_rate_limited_total",
    help: "requests over a limit",
    labels: &["policy", "scope"],
};
/// Authentication decisions.
pub const AUTH: Family = Family {
    name: "gateway_auth_total",
    help: "authentication decisions",
    labels: &["policy", "result", "reason"],
};
/// Answers by fallback.
pub const FALLBACK: Family = Family {
    name: "gateway_fallback_total",
    help: "requests answered by their fallback",
    labels: &["route", "kind"],
};
/// Endpoints by state.
pub const UPSTREAM_ENDPOINTS: Family =
    Family { name: "gateway_upstream_endpoints", help: "endpoints by state", labels: &["upstream", "state"] };
/// Seconds since the registry last answered for a service.
pub const DISCOVERY_AGE: Family = Family {
    name: "gateway_discovery_age_seconds",
    help: "seconds since the registry last answered for the service",
    labels: &["service"],
};
/// Answers of the registry; `result` is `changed`, `unchanged` or `held`.
pub const DISCOVERY_UPDATES: Family = Family {
    name: "gateway_discovery_updates_total",
    help: "answers of the registry",
    labels: &["service", "result"],
};
/// Failed queries of the registry.
pub const DISCOVERY_ERRORS: Family = Family {
    name: "gateway_discovery_watch_errors_total",
    help: "failed queries of the registry",
    labels: &["service"],
};
/// Reloads by result: `applied` or `refused`.
pub const RELOADS: Family =
    Family { name: "gateway_config_reloads_total", help: "reloads by result", labels: &["result"] };
/// 1 if the last reload was applied.
pub const LAST_RELOAD_OK: Family = Family {
    name: "gateway_config_last_reload_successful",
    help: "1 if the last reload was applied",
    labels: &[],
};
/// Configurations on trial: `pending`, `confirmed`, or why one was reverted: `asked`, `deadline`, `errors`, `slower`.
pub const TRIALS: Family = Family {
    name: "gateway_config_trials_total",
    help: "configurations put into use on trial, and what came of them",
    labels: &["result"],
};
/// Always 1; the label carries the generation in use.
pub const REVISION: Family =
    Family { name: "gateway_config_revision_info", help: "the generation in use", labels: &["revision"] };
/// Requests refused on the connection, before they had a route.
pub const REFUSED_EARLY: Family = Family {
    name: "gateway_connection_refusals_total",
    help: "requests refused on the connection, before they had a route",
    labels: &["listener", "reason"],
};
/// Plugin faults by kind: `error` or `panic`.
pub const PLUGIN_ERRORS: Family =
    Family { name: "portcullis_plugin_errors_total", help: "plugin faults", labels: &["plugin", "kind"] };
/// Access-log lines that did not fit the buffer.
pub const LOG_LINES_DROPPED: Family =
    Family { name: "gateway_log_lines_dropped_total", help: "access-log lines dropped", labels: &[] };
/// Connections open now.
pub const CONNECTIONS: Family = Family { name: "gateway_connections", help: "open connections", labels: &[] };
/// Always 1; the label carries the version.
pub const BUILD_INFO: Family =
    Family { name: "gateway_build_info", help: "the version in use", labels: &["version"] };
