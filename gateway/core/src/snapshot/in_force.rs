//! The settings of a compiled route as text: what is in force, whether somebody wrote it or not.
//!
//! Decides how each is written in the language. Reads the route that serves requests, so a default shown here is the
//! default that holds.

use std::time::Duration;

use portcullis_schema::FallbackOn;

use super::{Destination, Fallback, FallbackAnswer, Route, Timeouts};
use crate::auth::jwt::{JwksSource, JwtGate};
use crate::breaker::BreakerSettings;
use crate::chain::OnFault;
use crate::limit::{LimitBy, LimitSettings};
use crate::retry::{ErrorKinds, RetrySettings};

/// The settings of a policy, in the order of the language; keys of a route come before.
pub(super) const SECTIONS: [&str; 11] = [
    "jwt",
    "api_key",
    "rate_limit",
    "retry",
    "circuit_breaker",
    "fallback",
    "timeout",
    "max_body",
    "request_headers",
    "response_headers",
    "plugins",
];

/// Every key in force with its value. A section that is off is there with `none`; times are in [`times_in_force`].
pub(super) fn in_force(route: &Route) -> Vec<(String, String)> {
    let mut found = Pairs::default();
    found.section("jwt", route.settings.jwt.as_deref(), jwt);
    found.section("api_key", route.settings.api_key.as_deref(), |gate, section| {
        section.say("header", gate.header());
    });
    found.section("rate_limit", route.settings.limit.as_deref().map(|limit| limit.settings()), limit);
    found.section("retry", route.settings.retry.as_deref().map(|retry| retry.settings()), retry);
    found.section("circuit_breaker", breaker_of(route), breaker);
    found.fallbacks(&route.settings.fallbacks);
    found.say("max_body", bound(route.settings.body_bytes_max.map(size)));
    for (idx, failure) in route.settings.chain.failures().enumerate() {
        let failure = match failure {
            OnFault::Deny => "deny",
            OnFault::Bypass => "bypass",
        };
        found.say(&format!("plugins[{idx}].failure"), failure);
    }
    found.0
}

/// The times towards one upstream.
pub(super) fn times_in_force(times: &Timeouts) -> Vec<(String, String)> {
    let mut found = Pairs::default();
    found.say("timeout.connect", time(times.connect));
    found.say("timeout.request", bound(times.request.map(time)));
    found.say("timeout.idle", bound(times.idle.map(time)));
    found.0
}

/// Every upstream that the route may ask, each once: its targets, then those of its fallbacks.
pub(super) fn destinations(route: &Route) -> Vec<&Destination> {
    let fallbacks = route.settings.fallbacks.iter().filter_map(|fallback| match &fallback.answer {
        FallbackAnswer::Upstream(destination) => Some(destination),
        FallbackAnswer::Fixed { .. } => None,
    });
    let mut each: Vec<&Destination> = Vec::new();
    for destination in route.settings.target.all().chain(fallbacks) {
        if !each.iter().any(|known| known.upstream.name == destination.upstream.name) {
            each.push(destination);
        }
    }
    each
}

#[derive(Default)]
struct Pairs(Vec<(String, String)>);

/// Keys below one key.
struct Section<'p> {
    pairs: &'p mut Pairs,
    key: &'p str,
}

impl Pairs {
    fn say(&mut self, key: &str, value: impl ToString) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    fn section<T>(&mut self, key: &str, settings: Option<T>, list: impl FnOnce(T, &mut Section<'_>)) {
        match settings {
            Some(settings) => list(settings, &mut Section { pairs: self, key }),
            None => self.say(key, "none"),
        }
    }

    fn fallbacks(&mut self, listed: &[Fallback]) {
        match listed {
            [] => self.say("fallback", "none"),
            [one] => fallback(one, &mut Section { pairs: self, key: "fallback" }),
            several => {
                for (idx, one) in several.iter().enumerate() {
                    fallback(one, &mut Section { pairs: self, key: &format!("fallback[{idx}]") });
                }
            }
        }
    }
}

impl Section<'_> {
    fn say(&mut self, key: &str, value: impl ToString) {
        self.pairs.say(&format!("{}.{key}", self.key), value);
    }

    /// A key that need not have a value.
    fn may_say(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.say(key, value);
        }
    }
}

fn jwt(gate: &JwtGate, section: &mut Section<'_>) {
    let settings = gate.settings();
    section.say("issuer", settings.issuer.as_deref().unwrap_or("any"));
    let audience =
        if settings.audience.is_empty() { "any".to_owned() } else { one_or_list(&settings.audience) };
    section.say("audience", audience);
    section.say(
        "jwks",
        match gate.keys().source() {
            JwksSource::Url(url) => url.to_string(),
            JwksSource::Service { name, path } => format!("consul://{name}{path}"),
        },
    );
    section.say("algorithms", list(settings.algorithms.iter().map(|algorithm| algorithm.name())));
    section.say("leeway", time(Duration::from_secs(u64::from(settings.leeway_seconds))));
    if !settings.required_scopes.is_empty() {
        section.say("scopes", list(&settings.required_scopes));
    }
}

fn limit(settings: &LimitSettings, section: &mut Section<'_>) {
    let unit = match settings.per.as_secs() {
        60 => "m",
        3_600 => "h",
        86_400 => "d",
        _ => "s",
    };
    section.say("rate", format!("{}/{unit}", settings.permits));
    section.say("burst", settings.burst);
    section.say(
        "by",
        match &settings.by {
            LimitBy::Ip => "ip".to_owned(),
            LimitBy::Consumer => "consumer".to_owned(),
            LimitBy::Route => "route".to_owned(),
            LimitBy::Header(name) => format!("header:{name}"),
        },
    );
    section.say("dry_run", settings.dry_run);
    section.say("max_keys", settings.keys_max);
}

fn retry(settings: &RetrySettings, section: &mut Section<'_>) {
    section.say("attempts", settings.attempts);
    section.may_say("per_try", settings.per_try.map(time));
    section.say("statuses", list(&settings.statuses));
    let ErrorKinds { connect, reset, timeout } = settings.errors;
    let errors = [("connect", connect), ("reset", reset), ("timeout", timeout)];
    section.say("errors", list(errors.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name)));
    section.say("backoff.base", time(settings.backoff_base));
    section.say("backoff.max", time(settings.backoff_max));
    section.say("budget.share", share(settings.budget.share));
    section.say("budget.floor", settings.budget.floor_per_second);
}

/// The breaker of the route: the same towards each of its upstreams, each with a state of its own.
fn breaker_of(route: &Route) -> Option<&BreakerSettings> {
    route.settings.target.all().find_map(|destination| {
        let idx = usize::from(destination.breaker?.0);
        destination.upstream.cell.settings().breakers.get(idx)
    })
}

fn breaker(settings: &BreakerSettings, section: &mut Section<'_>) {
    section.may_say("failure_rate", settings.failure_rate.map(share));
    section.say("window", settings.window);
    section.may_say("consecutive", settings.consecutive);
    section.say("open", time(settings.open));
    section.say("probes", settings.probes);
}

fn fallback(fallback: &Fallback, section: &mut Section<'_>) {
    let kinds = [
        ("no-endpoint", FallbackOn::NoEndpoint),
        ("tripped", FallbackOn::Tripped),
        ("overloaded", FallbackOn::Overloaded),
        ("connect", FallbackOn::Connect),
        ("reset", FallbackOn::Reset),
        ("timeout", FallbackOn::Timeout),
        ("status", FallbackOn::Status),
        ("bad-response", FallbackOn::BadResponse),
    ];
    let on = kinds.iter().filter(|(_, kind)| fallback.kinds.contains(*kind)).map(|(name, _)| name);
    section.say("on", list(on));
    let methods = fallback.methods.as_ref().map(|methods| list(methods.allowed()));
    section.say("methods", methods.unwrap_or_else(|| "any".to_owned()));
    match &fallback.answer {
        FallbackAnswer::Upstream(destination) => section.say("to", &destination.upstream.name),
        FallbackAnswer::Fixed { status, .. } => section.say("status", status.as_u16()),
    }
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn one_or_list(items: &[impl ToString]) -> String {
    match items {
        [one] => one.to_string(),
        several => list(several.iter().map(ToString::to_string)),
    }
}

fn bound(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}

/// In the largest unit that leaves a whole number.
fn time(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.as_millis());
    if millis == 0 && !time.is_zero() {
        format!("{}us", time.as_micros())
    } else if !millis.is_multiple_of(1_000) {
        format!("{millis}ms")
    } else if seconds == 0 || seconds == 60 || !seconds.is_multiple_of(60) {
        format!("{seconds}s")
    } else if !seconds.is_multiple_of(3_600) {
        format!("{}m", seconds / 60)
    } else {
        format!("{}h", seconds / 3_600)
    }
}

/// In the largest unit that leaves a whole number.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// In percent, without the noise of binary fractions.
fn share(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_language_reads_them() {
        for (millis, text) in
            [(0, "0s"), (5, "5ms"), (1_500, "1500ms"), (60_000, "60s"), (300_000, "5m"), (7_200_000, "2h")]
        {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [(0, "0B"), (10, "10B"), (2 << 20, "2MiB"), (1536, "1536B"), (64 << 10, "64KiB")]
        {
            assert_eq!(size(bytes), text);
        }
        assert_eq!([share(0.2), share(0.07), share(1.0), share(0.005)], ["20%", "7%", "100%", "0.5%"]);
    }
}
