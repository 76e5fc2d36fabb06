//! What a registration must look like, with Consul's bounds and texts.
//! It only says no; it changes nothing.

use std::net::IpAddr;

use portcullis_consul_wire::{AgentCheckDefinition, AgentServiceRegistration, CheckStatus, GoDuration};

use super::refusal::Refusal;
use crate::limits::{
    CHECKS_PER_SERVICE_MAX, META_KEY_BYTES_MAX, META_PAIRS_MAX, META_VALUE_BYTES_MAX, NAME_BYTES_MAX,
    TAGS_MAX,
};

pub(super) fn registration(registration: &AgentServiceRegistration) -> Result<(), Refusal> {
    if registration.name.is_empty() {
        return Err(Refusal::request("Missing service name"));
    }
    name("service name", &registration.name)?;
    name("service ID", &registration.id)?;
    name("service address", &registration.address)?;
    if is_any_address(&registration.address) {
        return Err(Refusal::request("Invalid service address"));
    }
    if let Some(weights) = registration.weights
        && weights.passing < 1
    {
        return Err(Refusal::request("Invalid Weights: Passing must be greater than 0"));
    }
    if registration.tags.len() > TAGS_MAX {
        return Err(Refusal::request(format!("Validation failed: more than {TAGS_MAX} tags")));
    }
    for tag in &registration.tags {
        name("tag", tag)?;
    }
    meta(registration)?;
    if checks_of(registration).count() > CHECKS_PER_SERVICE_MAX {
        return Err(Refusal::request(format!("Invalid check: more than {CHECKS_PER_SERVICE_MAX} checks")));
    }
    checks_of(registration).try_for_each(check)
}

/// The checks of a registration. An empty `Check` is no check, as in Consul; an empty one among `Checks` is wrong.
pub(super) fn checks_of(
    registration: &AgentServiceRegistration,
) -> impl Iterator<Item = &AgentCheckDefinition> {
    let one = registration.check.iter().filter(|check| **check != AgentCheckDefinition::default());
    one.chain(&registration.checks)
}

fn meta(registration: &AgentServiceRegistration) -> Result<(), Refusal> {
    let invalid = |text: String| Refusal::request(format!("Invalid Service Meta: {text}"));
    if registration.meta.len() > META_PAIRS_MAX {
        let text = format!("Node metadata cannot contain more than {META_PAIRS_MAX} key/value pairs");
        return Err(invalid(text));
    }
    for (key, value) in &registration.meta {
        let pair = |why: &str| {
            let shown: String = value.chars().take(64).collect();
            invalid(format!("Couldn't load metadata pair ('{key}', '{shown}'): {why}"))
        };
        if key.is_empty() {
            return Err(pair("Key cannot be blank"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Err(pair("Key contains invalid characters"));
        }
        if key.len() > META_KEY_BYTES_MAX {
            return Err(pair(&format!("Key is too long (limit: {META_KEY_BYTES_MAX} characters)")));
        }
        if key.starts_with("consul-") {
            return Err(pair("Key prefix 'consul-' is reserved for internal use"));
        }
        if value.len() > META_VALUE_BYTES_MAX {
            return Err(pair(&format!("Value is too long (limit: {META_VALUE_BYTES_MAX} characters)")));
        }
    }
    Ok(())
}

pub(super) fn check(definition: &AgentCheckDefinition) -> Result<(), Refusal> {
    let invalid = |text: &str| Err(Refusal::request(format!("Invalid check: {text}")));
    for text in [&definition.id, &definition.check_id, &definition.name, &definition.service_id] {
        name("check", text)?;
    }
    if definition.status == Some(CheckStatus::Maintenance) {
        return Err(Refusal::request("Status for checks must 'passing', 'warning', 'critical'"));
    }
    let some = |duration: Option<GoDuration>| duration.is_some_and(|duration| !duration.0.is_zero());
    let tried = !definition.http.is_empty() || !definition.tcp.is_empty();
    if some(definition.interval) && some(definition.ttl) {
        return invalid("Interval and TTL cannot both be specified");
    }
    if tried && !some(definition.interval) {
        return invalid("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks");
    }
    if !tried && !some(definition.ttl) {
        return invalid("TTL must be > 0 for TTL checks");
    }
    if definition.failures_before_warning > definition.failures_before_critical {
        return invalid("FailuresBeforeWarning can't be higher than FailuresBeforeCritical");
    }
    Ok(())
}

fn name(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Refusal::request(format!("Invalid {what}: longer than {NAME_BYTES_MAX} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::request(format!("Invalid {what}: contains control characters")));
    }
    Ok(())
}

fn is_any_address(address: &str) -> bool {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}
