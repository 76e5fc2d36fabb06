//! Who may in: whoever has the token, and no browser that somebody else's page is driving.
//!
//! The `Host` must name this machine by address or as `localhost`, so that a name rebound to
//! loopback gets nowhere; a cross-site `Origin` is refused, so that no page can act for its reader.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// What opens the API.
pub(super) struct Door {
    /// Digests are compared, not tokens: equal lengths, and no byte of the token tells its time.
    digest: [u8; 32],
}

impl Door {
    pub(super) fn new(token: &str) -> Self {
        Self { digest: Sha256::digest(token.as_bytes()).into() }
    }

    fn opens_for(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(only), None) = (values.next(), values.next()) else { return false };
        let Some(token) = only.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        digest.ct_eq(&self.digest).into()
    }
}

pub(super) async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !host_is_ours(headers) || !origin_is_ours(headers) {
        let detail = "the admin API answers to its address or localhost only, and to no other site's pages";
        return Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail).into_response();
    }
    if !door.opens_for(headers) {
        let detail =
            "send `Authorization: Bearer TOKEN`; the token is in `admin-token` in the state directory";
        let mut refused = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return refused;
    }
    next.run(request).await
}

fn host_is_ours(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(names_us)
}

fn origin_is_ours(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    origin.to_str().ok().and_then(|origin| origin.split_once("://")).is_some_and(|(_, host)| names_us(host))
}

/// `localhost` or an address, with or without a port.
fn names_us(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_rebound_is_not_ours() {
        for ours in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901", "LOCALHOST", "10.0.0.4"] {
            assert!(names_us(ours), "{ours}");
        }
        for theirs in ["evil.example:9901", "localhost.evil.example", "", "127.0.0.1.evil.example"] {
            assert!(!names_us(theirs), "{theirs}");
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let door = Door::new("0123456789abcdef0123456789abcdef");
        let with = |value: &str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
        };
        assert!(door.opens_for(&with("Bearer 0123456789abcdef0123456789abcdef")));
        for wrong in ["Bearer 0123456789abcdef", "Bearer ", "Basic 0123456789abcdef0123456789abcdef"] {
            assert!(!door.opens_for(&with(wrong)), "{wrong}");
        }
        assert!(!door.opens_for(&HeaderMap::new()));
    }
}
