//! What we hang on a connection that Pingora holds, a client's or an endpoint's, and find again with a request.
//!
//! It travels as the proxy digest's user data: of Pingora's digests only that one is open to others on every
//! transport and reaches HTTP/1 and HTTP/2 sessions alike (`SslDigest::extension` can be set by Pingora only).

use std::any::Any;

use http::StatusCode;
use pingora_core::Result;
use pingora_core::protocols::Digest;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;

/// A digest that carries `data`.
///
/// # Errors
/// Pingora's, when it cannot make an empty head.
pub fn carrying<T: Any + Send + Sync>(data: T) -> Result<ProxyDigest> {
    // The head of a reply that nobody gave: the digest's type wants one.
    let carrier = ResponseHeader::build_no_case(StatusCode::OK, Some(0))?;
    Ok(ProxyDigest::new(Box::new(carrier), Some(Box::new(data))))
}

/// What the connection that `digest` is of carries, if it is a `T`.
#[must_use]
pub fn carried<T: Any>(digest: &Digest) -> Option<&T> {
    digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}
