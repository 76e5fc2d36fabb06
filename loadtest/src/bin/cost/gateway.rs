//! The configurations that the gateway is measured with, and the requests that fit all of them.

use std::fmt::Write;
use std::net::SocketAddr;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, header};
use portcullis_loadtest::Variant;
use portcullis_loadtest::origin::JWKS_PATH;

use crate::statistics::Chance;
use crate::tokens::{AUDIENCE, ISSUER};

/// Hosts of the large table.
pub(crate) const HOSTS: usize = 1_000;
/// Routes of each of them.
pub(crate) const ROUTES_PER_HOST: usize = 10;

/// The addresses one gateway uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) web: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) origin: SocketAddr,
}

/// What one gateway is told to do.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// One route.
    Plain,
    /// One route, and an access log in a file.
    Logged(String),
    /// One route with token, limit, retry and breaker.
    Policies,
    /// So many routes, ten to a host.
    Routes(usize),
    /// One route, and another one to so many endpoints that nobody asks.
    Endpoints(usize),
}

/// The configuration file.
pub(crate) fn config(shape: &Shape, doors: Doors) -> String {
    let Doors { web, admin, metrics, origin } = doors;
    let log = match shape {
        Shape::Logged(path) => format!("{{ format: json, path: \"{path}\" }}"),
        Shape::Plain | Shape::Policies | Shape::Routes(_) | Shape::Endpoints(_) => "none".to_owned(),
    };
    let mut text = format!(
        "version: 1\nlisteners:\n  web: {{ address: \"{web}\" }}\nadmin: {{ address: \"{admin}\" }}\n\
         metrics: {{ address: \"{metrics}\" }}\ntelemetry:\n  access_log: {log}\nupstreams:\n  origin:\n    hosts:\n"
    );
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "      - \"{origin}\"");
    if let Shape::Endpoints(count) = shape {
        text.push_str("  many:\n    hosts:\n");
        for number in 0..*count {
            let _ = writeln!(text, "      - \"{}\"", endpoint(number, origin.port()));
        }
    }
    text.push_str("routes:\n");
    match shape {
        Shape::Plain | Shape::Logged(_) => text.push_str("  all: { path: /**, to: origin }\n"),
        Shape::Endpoints(_) => {
            text.push_str("  all: { path: /**, to: origin }\n  many: { path: /many/**, to: many }\n");
        }
        Shape::Policies => text.push_str(&policies(origin)),
        Shape::Routes(count) => {
            for number in 0..*count {
                let (host, pattern, _) = route(number);
                let _ = writeln!(text, "  r{number}: {{ host: {host}, path: \"{pattern}\", to: origin }}");
            }
        }
    }
    text
}

/// Loopback addresses, all different.
fn endpoint(number: usize, port: u16) -> SocketAddr {
    let byte = |value: usize| u8::try_from(value % 250).unwrap_or(0);
    SocketAddr::from(([127, byte(number / 62_500) + 1, byte(number / 250), byte(number) + 1], port))
}

fn policies(origin: SocketAddr) -> String {
    format!(
        "  all:\n    path: /**\n    to: origin\n    jwt:\n      issuer: {ISSUER}\n      audience: {AUDIENCE}\n      \
         jwks: http://{origin}{JWKS_PATH}\n      algorithms: [ES256]\n      headers: {{ X-User-Id: sub }}\n    \
         rate_limit: {{ rate: 1000000/s, burst: 1000000, by: ip }}\n    \
         retry: {{ attempts: 2, statuses: [502, 503, 504], errors: [connect, reset], budget: 20% }}\n    \
         circuit_breaker: {{ failure_rate: 50%, window: 20, open: 10s, probes: 3 }}\n"
    )
}

/// Route number N of the large table: its host, its path pattern, and a path that it matches.
/// Literal paths, typed parameters and trees, as gateways have them.
fn route(number: usize) -> (String, String, String) {
    let (host, place) = (number / ROUTES_PER_HOST, number % ROUTES_PER_HOST);
    let (pattern, path) = match place {
        0..4 => (format!("/api/s{place}/items"), format!("/api/s{place}/items")),
        4..7 => (format!("/api/s{place}/items/{{id:uint}}"), format!("/api/s{place}/items/{number}")),
        _ => (format!("/api/s{place}/**"), format!("/api/s{place}/files/{number}")),
    };
    (format!("h{host}.bench.example"), pattern, path)
}

/// One request for each of the 10,000 routes, in random order, each with one of the tokens: the same
/// bytes go through every entry of the comparison.
pub(crate) fn requests(tokens: &[String]) -> Vec<Variant> {
    let mut chance = Chance(1);
    let mut variants: Vec<Variant> = (0..HOSTS * ROUTES_PER_HOST)
        .filter_map(|number| {
            let (host, _, path) = route(number);
            let token = tokens.get(number % tokens.len().max(1))?;
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::try_from(host).ok()?);
            headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).ok()?);
            Some(Variant { path_and_query: PathAndQuery::try_from(path).ok(), headers })
        })
        .collect();
    chance.shuffle(&mut variants);
    variants
}

/// The first of these requests, for polling.
pub(crate) fn poll(token: &str) -> String {
    let (host, _, path) = route(0);
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Doors {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Doors { web: at(1), admin: at(2), metrics: at(3), origin: at(4) }
    }

    #[test]
    fn the_large_table_has_one_route_for_every_request() {
        let text = config(&Shape::Routes(HOSTS * ROUTES_PER_HOST), doors());
        assert_eq!(text.lines().filter(|line| line.contains("to: origin")).count(), 10_000);
        let variants = requests(&["t".to_owned()]);
        let hosts: std::collections::BTreeSet<_> =
            variants.iter().map(|v| v.headers[header::HOST].clone()).collect();
        assert_eq!((variants.len(), hosts.len()), (10_000, 1_000));
    }

    #[test]
    fn endpoints_are_all_different_and_loopback() {
        let all: std::collections::BTreeSet<_> = (0..70_000).map(|number| endpoint(number, 4)).collect();
        assert_eq!(all.len(), 70_000);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }
}
