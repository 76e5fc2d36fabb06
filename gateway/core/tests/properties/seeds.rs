//! Where a fuzzer starts from: the cases that the tests know anyway, in the form that each property reads.

use crate::http_cases;

/// A name for each seed of `target` and its bytes; nothing for a target whose seeds are files.
pub(crate) fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "scanner" => connections().collect(),
        "path" => numbered(PATHS.iter().map(|path| path.as_bytes().to_vec())),
        "fields" => numbered(HEADS.iter().map(|head| head.as_bytes().to_vec())),
        _ => Vec::new(),
    }
}

/// Every case in one piece, and cut where cutting is delicate.
fn connections() -> impl Iterator<Item = (String, Vec<u8>)> {
    http_cases::all().flat_map(|(name, bytes, _)| {
        let whole = [b"\0".as_slice(), bytes].concat();
        let cut = [b"\x64\x03\x0d\x01\x11".as_slice(), bytes].concat();
        [((*name).to_owned(), whole), (format!("{name}_cut"), cut)]
    })
}

fn numbered(seeds: impl Iterator<Item = Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    seeds.enumerate().map(|(idx, seed)| (format!("seed_{idx}"), seed)).collect()
}

/// The rows P1–P20 and a few paths that are right.
const PATHS: [&str; 30] = [
    "/",
    "/api/orders/42",
    "/a/",
    "/caf%C3%A9",
    "/pub/../admin/x",
    "/pub/%2e%2e/admin/x",
    "/pub/..%2fadmin/x",
    "/%2fadmin/x",
    "//admin/x",
    "/./admin/x",
    "/%61dmin/x",
    "/ADMIN/x",
    "/;a=b/admin/x",
    "/pub/..;/admin/x",
    "/pub\\..\\admin/x",
    "/pub/..%5cadmin/x",
    "/pub/%252e%252e/admin",
    "/pub/..%252fadmin",
    "/admin%00/x",
    "/pub#/../admin",
    "?a",
    "/api../admin",
    "/api%2e%2e/admin",
    "/api%2e/admin/secret",
    "//evil.host/x",
    "/a/b/../../../c",
    "/a///b//",
    "/pub/%2e%2e%3bx/admin/x",
    "/a%3bb",
    "/a%20b%3f%23%25",
];

/// Heads with every field that a decision hangs on.
const HEADS: [&str; 8] = [
    "GET / h https 192.0.2.9\nx-forwarded-for:1.1.1.1, 2.2.2.2\nx-request-id:a-b\nvia:1.1 node-1",
    "GET /a?b - https 10.0.0.1\nhost:Shop.Example.:8443\nx-forwarded-for:1.1.1.1, 192.0.2.9:80\n\
     x-forwarded-for:[2001:db8::7]:4711, 10.0.0.3\nx-forwarded-proto:http\nx-forwarded-port:80",
    "POST /a [2001:db8::1]:443 https ::ffff:10.0.0.1\ncontent-length:5\nte:trailers\nexpect:100-continue\n\
     content-type:application/grpc+proto",
    "OPTIONS * h:80 http fd00::1\nforwarded:for=192.0.2.9;proto=http\nx_user:eve\nX-User:bob\nx.user:eve",
    "HEAD / h https 10.0.0.1\nconnection:close, X-User, x-forwarded-for, authorization\nkeep-alive:1\n\
     authorization:a\nauthorization:b\nupgrade:h2c",
    "GET / h https -\ntraceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate:a=b",
    "GET / h https -\ntraceparent:cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what\n\
     x-real-ip:1.1.1.1\nx-gateway-a:b\ntransfer-encoding:chunked\nproxy:a",
    "GET / h https 10.0.0.1\nx-forwarded-for:1.1.1.1,\nx-forwarded-host:outer.example\nx-forwarded-for:unknown",
];
