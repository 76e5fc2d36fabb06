//! The gateway as its operator sees it: the admin API, the metrics and the probes.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::broken::{Broken, ensure};
use super::http::{Http, Seen};
use super::ports::Doors;
use super::samples::Samples;
use crate::state_dir::TOKEN_FILE;
use crate::telemetry::names;

/// Where a change is put on trial. Demonstrations run on busy machines, where the slowest answers vary more than the
/// default allows.
const TRIAL: &str = "/api/v1/config?confirm_within=60s&max_p99_ratio=20";

/// A client of the two doors that are not for clients.
#[derive(Debug)]
pub(super) struct Gateway {
    admin: Http,
    metrics: Http,
    token: Option<String>,
}

/// One endpoint of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndpointSeen {
    pub(super) address: String,
    pub(super) is_passing: bool,
    /// Attempts sent there.
    pub(super) picks: u64,
}

/// An upstream.
#[derive(Debug, Clone)]
pub(super) struct UpstreamSeen {
    pub(super) endpoints: Vec<EndpointSeen>,
    /// `passing`, `probing` or `tripped`: the worst of its own breakers and its endpoints'.
    pub(super) breaker: String,
}

impl Gateway {
    pub(super) fn new(doors: &Doors) -> Result<Self, Broken> {
        let door = |address| Http::new(format!("http://{address}"));
        Ok(Self { admin: door(doors.admin)?, metrics: door(doors.metrics)?, token: None })
    }

    /// Reads the admin token that the gateway made.
    pub(super) fn read_token(&mut self, state: &Path) -> Result<(), Broken> {
        let path = state.join(TOKEN_FILE);
        let token = std::fs::read_to_string(&path)
            .map_err(|error| Broken::new(format!("cannot read {}: {error}", path.display())))?;
        self.token = Some(token.trim().to_owned());
        Ok(())
    }

    /// 200 when the gateway takes traffic; the body lists every check.
    pub(super) async fn readiness(&self) -> Result<Seen, Broken> {
        self.metrics.get("/readyz?verbose", None).await
    }

    pub(super) async fn samples(&self) -> Result<Samples, Broken> {
        let seen = self.metrics.get("/metrics", None).await?.expect(200)?;
        Ok(Samples::read(&seen.body))
    }

    /// Requests answered on a route since start.
    pub(super) async fn n_requests(&self, route: &str) -> Result<f64, Broken> {
        let name = format!("{}_count", names::REQUEST_DURATION.name);
        Ok(self.samples().await?.sum(&name, &[("route", route)]))
    }

    pub(super) async fn upstream(&self, name: &str) -> Result<UpstreamSeen, Broken> {
        let path = format!("/api/v1/upstreams/{name}");
        let seen = self.admin.get(&path, self.token.as_deref()).await?.expect(200)?;
        Ok(upstream(&seen.json()))
    }

    /// The generation of the configuration in use.
    pub(super) async fn generation(&self) -> Result<u64, Broken> {
        let seen = self.admin.get("/api/v1/status", self.token.as_deref()).await?.expect(200)?;
        let generation = seen.json().get("generation").and_then(Value::as_u64);
        generation.ok_or_else(|| Broken::new(seen.instead_of("a generation")))
    }

    /// Merges a patch into the configuration, on trial for a minute.
    pub(super) async fn try_out(&self, patch: &Value) -> Result<Seen, Broken> {
        let token = self.token.as_deref();
        let tag = self.admin.get("/api/v1/config", token).await?.expect(200)?.expect_header("etag")?;
        let fields = [("if-match", &*tag), ("content-type", "application/merge-patch+json")];
        self.admin.send(Method::PATCH, TRIAL, token, &fields, Some(patch)).await
    }

    /// Makes what is on trial stay.
    pub(super) async fn confirm(&self) -> Result<Seen, Broken> {
        self.admin.post("/api/v1/config/confirm", self.token.as_deref(), &json!({})).await
    }

    /// The revision of the configuration that is in use and kept; none while another is on trial.
    pub(super) async fn revision_kept(&self) -> Result<Option<u64>, Broken> {
        let seen = self.admin.get("/api/v1/config/history", self.token.as_deref()).await?.expect(200)?;
        let history = seen.json();
        let items = history.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let in_use = items.iter().find(|item| item.get("in_use") == Some(&Value::Bool(true)));
        let is_on_trial = history.get("pending").is_some();
        ensure(is_on_trial != in_use.is_some(), || seen.instead_of("one revision, kept or on trial"))?;
        Ok(in_use.and_then(|item| item.get("revision")).and_then(Value::as_u64))
    }

    pub(super) async fn reload(&self) -> Result<Seen, Broken> {
        self.admin.post("/api/v1/reload", self.token.as_deref(), &json!({})).await
    }
}

impl UpstreamSeen {
    /// Addresses of endpoints whose checks pass.
    pub(super) fn passing(&self) -> Vec<&str> {
        self.endpoints.iter().filter(|seen| seen.is_passing).map(|seen| seen.address.as_str()).collect()
    }

    /// Succeeds if so many endpoints pass.
    pub(super) fn expect_passing(&self, n: usize) -> Result<(), Broken> {
        let passing = self.passing();
        ensure(passing.len() == n, || format!("{} of {n} endpoints: {}", passing.len(), passing.join(", ")))
    }

    /// Attempts sent to all endpoints.
    pub(super) fn picks(&self) -> u64 {
        self.endpoints.iter().map(|seen| seen.picks).sum()
    }
}

fn upstream(json: &Value) -> UpstreamSeen {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = json.get("endpoints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let endpoints = items.iter().map(|item| EndpointSeen {
        address: text(item, "address"),
        is_passing: text(item, "health") == "passing" && item.get("draining") != Some(&Value::Bool(true)),
        picks: item.get("picks").and_then(Value::as_u64).unwrap_or_default(),
    });
    let breakers = std::iter::once(json).chain(items).map(|owner| text(owner, "breaker"));
    let severity =
        |breaker: &String| ["passing", "probing", "tripped"].iter().position(|state| state == breaker);
    UpstreamSeen {
        endpoints: endpoints.collect(),
        breaker: breakers.max_by_key(severity).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_breaker_is_the_one_shown_and_only_usable_endpoints_count() {
        let seen = upstream(&json!({ "breaker": "passing", "endpoints": [
            { "address": "127.0.0.1:1", "health": "passing", "picks": 3, "breaker": "tripped" },
            { "address": "127.0.0.1:2", "health": "critical", "picks": 4 },
            { "address": "127.0.0.1:3", "health": "passing", "draining": true, "picks": 5 },
        ]}));
        assert_eq!(seen.breaker, "tripped");
        assert_eq!(seen.passing(), ["127.0.0.1:1"]);
        assert_eq!(seen.picks(), 12);
        assert!(seen.expect_passing(2).is_err());
    }
}
