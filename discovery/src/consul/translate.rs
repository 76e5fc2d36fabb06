//! From Consul's JSON to a set of endpoints.
//!
//! It decides which entries can be used and how healthy they are; one odd entry costs that entry and a count,
//! never its neighbours. It never asks the network: a host name in the place of an address is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use portcullis_consul_wire::{CheckStatus, HealthServiceEntry};
use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet, Health};
use serde_json::value::RawValue;

/// Why an entry was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Not the JSON of an entry.
    Unreadable,
    /// Neither the service nor its node has an address.
    NoAddress,
    /// A host name; only IP addresses can be balanced without asking a resolver.
    HostName,
    /// Neither an IP address nor a host name, or an address nobody listens on (unspecified, multicast, broadcast).
    BadAddress,
    /// The port is 0 or above 65535.
    NoPort,
    /// A weight below 1 while passing.
    NoWeight,
    /// An id with control characters or one the model refuses.
    BadId,
    /// The same id at the same address was already listed.
    Duplicate,
}

impl SkipReason {
    /// Every reason, in a fixed order.
    pub const ALL: [Self; 8] = [
        Self::Unreadable,
        Self::NoAddress,
        Self::HostName,
        Self::BadAddress,
        Self::NoPort,
        Self::NoWeight,
        Self::BadId,
        Self::Duplicate,
    ];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoAddress => "no_address",
            Self::HostName => "host_name",
            Self::BadAddress => "bad_address",
            Self::NoPort => "no_port",
            Self::NoWeight => "no_weight",
            Self::BadId => "bad_id",
            Self::Duplicate => "duplicate",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What an answer held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Translated {
    /// The entries that can be used.
    pub set: EndpointSet,
    /// How many were left out, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
}

/// Reads the body of `GET /v1/health/service/<name>`.
///
/// # Errors
/// When the body is not a JSON array; then nothing of it is used.
pub fn translate(body: &[u8]) -> Result<Translated, serde_json::Error> {
    // `null` is what Go writes for an empty list.
    let entries: Option<Vec<&RawValue>> = serde_json::from_slice(body)?;
    let entries = entries.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    let mut skipped = BTreeMap::new();
    for entry in entries {
        let kept = endpoint(entry).and_then(|endpoint| {
            if seen.insert((endpoint.address, endpoint.id.clone())) {
                Ok(endpoint)
            } else {
                Err(SkipReason::Duplicate)
            }
        });
        match kept {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(reason) => *skipped.entry(reason).or_default() += 1,
        }
    }
    Ok(Translated { set: EndpointSet::new(endpoints), skipped })
}

fn endpoint(raw: &RawValue) -> Result<Endpoint, SkipReason> {
    let entry: HealthServiceEntry =
        serde_json::from_str(raw.get()).map_err(|_unreadable| SkipReason::Unreadable)?;
    let ip = address(entry.effective_address())?;
    if entry.service.port == 0 {
        return Err(SkipReason::NoPort);
    }
    let address = SocketAddr::new(ip, entry.service.port);
    let (health, weight) = standing(&entry)?;
    let id = id(&entry)?;
    let datacenter = Some(entry.node.datacenter).filter(|name| !name.is_empty()).map(Arc::from);
    Ok(Endpoint {
        id,
        address,
        weight,
        health,
        tags: entry.service.tags.into_iter().map(Arc::from).collect(),
        meta: entry.service.meta.into(),
        datacenter,
    })
}

/// Health and weight. A warning instance whose operator gave warnings no share stays known but unused, because
/// an endpoint that vanishes looks like a lost registration and would be held.
fn standing(entry: &HealthServiceEntry) -> Result<(Health, NonZeroU16), SkipReason> {
    let weight = NonZeroU16::new(entry.effective_weight());
    match (entry.status(), weight) {
        (CheckStatus::Passing, Some(weight)) => Ok((Health::Passing, weight)),
        (CheckStatus::Passing, None) => Err(SkipReason::NoWeight),
        (CheckStatus::Warning, Some(weight)) => Ok((Health::Warning, weight)),
        (CheckStatus::Warning, None) => Ok((Health::Critical, NonZeroU16::MIN)),
        (CheckStatus::Critical | CheckStatus::Maintenance, weight) => {
            Ok((Health::Critical, weight.unwrap_or(NonZeroU16::MIN)))
        }
    }
}

/// Service ids are unique on a node only, so the node's name is part of ours.
fn id(entry: &HealthServiceEntry) -> Result<EndpointId, SkipReason> {
    let (node, id) = (&entry.node.node, &entry.service.id);
    if id.is_empty() || id.chars().chain(node.chars()).any(char::is_control) {
        return Err(SkipReason::BadId);
    }
    let whole = if node.is_empty() { id.clone() } else { format!("{node}/{id}") };
    EndpointId::new(&whole).map_err(|_refused| SkipReason::BadId)
}

fn address(text: &str) -> Result<IpAddr, SkipReason> {
    if text.is_empty() {
        return Err(SkipReason::NoAddress);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let name =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        return Err(if name { SkipReason::HostName } else { SkipReason::BadAddress });
    };
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(SkipReason::BadAddress);
    }
    Ok(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(address: &str, port: &str, extra: &str, checks: &str) -> String {
        format!(
            r#"{{"Node":{{"Node":"n1","Address":"10.0.0.9","Datacenter":"dc1"}},"Service":{{"ID":"a","Service":"web",
            "Address":{address},"Port":{port}{extra}}},"Checks":[{checks}]}}"#
        )
    }

    fn one(text: &str) -> Result<Endpoint, SkipReason> {
        let read = translate(format!("[{text}]").as_bytes()).expect("an array");
        match read.set.iter().next() {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Err(*read.skipped.keys().next().expect("a reason")),
        }
    }

    fn address_of(address: &str) -> Result<String, SkipReason> {
        one(&entry(address, "80", "", "")).map(|endpoint| endpoint.address.to_string())
    }

    #[test]
    fn addresses_are_ip_literals_or_fall_back_to_the_node_or_are_skipped_with_a_reason() {
        assert_eq!(address_of(r#""10.0.0.1""#), Ok("10.0.0.1:80".into()));
        assert_eq!(address_of(r#""""#), Ok("10.0.0.9:80".into()));
        assert_eq!(address_of("null"), Ok("10.0.0.9:80".into()));
        assert_eq!(address_of(r#""2001:db8::1""#), Ok("[2001:db8::1]:80".into()));
        assert_eq!(address_of(r#""[2001:db8::1]""#), Ok("[2001:db8::1]:80".into()));
        assert_eq!(address_of(r#""::ffff:10.0.0.1""#), Ok("10.0.0.1:80".into()));
        assert_eq!(address_of(r#""web.example.com""#), Err(SkipReason::HostName));
        assert_eq!(address_of(r#""10.0.0.1\r\nX: y""#), Err(SkipReason::BadAddress));
        assert_eq!(address_of(r#""10.0.0.1:80""#), Err(SkipReason::BadAddress));
        assert_eq!(address_of(r#""0.0.0.0""#), Err(SkipReason::BadAddress));
        assert_eq!(address_of(r#""255.255.255.255""#), Err(SkipReason::BadAddress));
        assert_eq!(address_of("7"), Err(SkipReason::Unreadable));
        let nowhere = r#"{"Node":{"Address":""},"Service":{"ID":"a","Port":80}}"#;
        assert_eq!(one(nowhere).map(|e| e.address), Err(SkipReason::NoAddress));
    }

    #[test]
    fn d18_ports_outside_1_to_65535_are_skipped() {
        for port in ["0", "70000", "-1", "null"] {
            let found = one(&entry(r#""10.0.0.1""#, port, "", ""));
            assert!(matches!(found, Err(SkipReason::NoPort | SkipReason::Unreadable)), "{port}: {found:?}");
        }
    }

    #[test]
    fn the_weight_is_the_one_of_the_status_and_no_weight_is_no_entry() {
        let weights = r#","Weights":{"Passing":10,"Warning":3}"#;
        let with = |weights: &str, status: &str| {
            let check = format!(r#"{{"CheckID":"c","Status":"{status}"}}"#);
            one(&entry(r#""10.0.0.1""#, "80", weights, &check)).map(|e| (e.health, e.weight.get()))
        };
        assert_eq!(with(weights, "passing"), Ok((Health::Passing, 10)));
        assert_eq!(with(weights, "warning"), Ok((Health::Warning, 3)));
        assert_eq!(with(weights, "critical"), Ok((Health::Critical, 10)));
        assert_eq!(with("", "passing"), Ok((Health::Passing, 1)));
        assert_eq!(with(r#","Weights":{"Passing":0,"Warning":0}"#, "passing"), Err(SkipReason::NoWeight));
        assert_eq!(with(r#","Weights":{"Passing":-1,"Warning":1}"#, "passing"), Err(SkipReason::NoWeight));
        assert_eq!(with(r#","Weights":{"Passing":5,"Warning":0}"#, "warning"), Ok((Health::Critical, 1)));
        assert_eq!(with(r#","Weights":{"Passing":0,"Warning":0}"#, "critical"), Ok((Health::Critical, 1)));
    }

    #[test]
    fn health_is_the_worst_of_all_checks_the_nodes_and_maintenance_included() {
        let health = |checks: &str| one(&entry(r#""10.0.0.1""#, "80", "", checks)).map(|e| e.health);
        let serf = |status: &str| format!(r#"{{"CheckID":"serfHealth","Status":"{status}"}}"#);
        let passing = r#"{"CheckID":"service:a","Status":"passing"}"#;
        assert_eq!(health(""), Ok(Health::Passing));
        assert_eq!(health(&format!("{},{passing}", serf("passing"))), Ok(Health::Passing));
        assert_eq!(health(&format!("{},{passing}", serf("critical"))), Ok(Health::Critical));
        let maintained = r#"{"CheckID":"_service_maintenance:a","Status":"critical"}"#;
        assert_eq!(health(&format!("{passing},{maintained}")), Ok(Health::Critical));
        assert_eq!(health(r#"{"CheckID":"x","Status":"dozing"}"#), Ok(Health::Critical));
    }

    #[test]
    fn d18_an_odd_entry_costs_itself_only() {
        let good = entry(r#""10.0.0.1""#, "80", r#","Tags":["v2"],"Meta":{"zone":"b"}"#, "");
        let bad = entry(r#""web""#, "80", "", "");
        let controlled = r#"{"Node":{"Address":"10.0.0.1"},"Service":{"ID":"a\r\nb","Port":80}}"#;
        let body = format!("[{bad},{good},{good},17,null,{controlled}]");
        let read = translate(body.as_bytes()).expect("an array");
        assert_eq!(read.set.len(), 1);
        let endpoint = read.set.iter().next().expect("one");
        assert_eq!(endpoint.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["v2"]);
        assert_eq!(endpoint.meta.get("zone"), Some("b"));
        assert_eq!(endpoint.datacenter.as_deref(), Some("dc1"));
        let expected = [
            (SkipReason::Unreadable, 2),
            (SkipReason::HostName, 1),
            (SkipReason::BadId, 1),
            (SkipReason::Duplicate, 1),
        ];
        assert_eq!(read.skipped, BTreeMap::from(expected));
    }

    #[test]
    fn d17_what_is_no_array_is_an_error_and_null_is_an_empty_list() {
        for body in ["<html></html>", "{}", "", "[{\"Node\":", "7", "\"x\""] {
            assert!(translate(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(translate(b"null").map(|read| read.set.len()).ok(), Some(0));
        assert_eq!(translate(b"[]").map(|read| read.set.len()).ok(), Some(0));
    }

    #[test]
    fn ids_of_two_nodes_do_not_collide() {
        let at = |node: &str, ip: &str| {
            format!(r#"{{"Node":{{"Node":"{node}","Address":"{ip}"}},"Service":{{"ID":"web","Port":80}}}}"#)
        };
        let body = format!("[{},{}]", at("n1", "10.0.0.1"), at("n2", "10.0.0.1"));
        let read = translate(body.as_bytes()).expect("an array");
        assert_eq!(read.set.len(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = translate(&bytes);
            let _ = translate(format!("[{text}]").as_bytes());
        }
    }
}
