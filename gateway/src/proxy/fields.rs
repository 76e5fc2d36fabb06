//! Pingora's heads, as the decisions and the plugins edit them.
//!
//! Pingora keeps the spelling of field names in a second map, so every change goes through its own
//! operations; these are the only places that know. A request gives that map up on arrival.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};
use portcullis_core::headers::HeadEdit;
use portcullis_core::snapshot::HeaderEdits;
use portcullis_plugin_sdk::HeaderStore;

/// Edits a request's head in its plain form, without the spelling of its names.
///
/// A name has no case (RFC 9110 §5.1) and HTTP/2 has lower case only; keeping the client's spelling would make
/// each change two, on two maps that grow. Pingora writes the best known names as they are usually written.
/// The target is the URI's from here on: an absolute-form target goes on in origin-form (RFC 9112 §3.2.1).
pub(super) fn edit<T>(head: &mut RequestHeader, change: impl FnOnce(&mut Parts) -> T) -> T {
    let (nothing, ()) = http::Request::new(()).into_parts();
    let mut parts = Parts::from(std::mem::replace(head, RequestHeader::from(nothing)));
    let outcome = change(&mut parts);
    *head = RequestHeader::from(parts);
    outcome
}

/// A request head to edit.
pub(super) struct RequestFields<'a>(pub(super) &'a mut RequestHeader);

/// A response head to edit.
pub(super) struct ResponseFields<'a>(pub(super) &'a mut ResponseHeader);

/// Both heads offer the same operations; none of them can fail for a name and a value that are
/// already parsed.
macro_rules! edits {
    ($head:ident) => {
        impl HeadEdit for $head<'_> {
            fn fields(&self) -> &HeaderMap {
                &self.0.headers
            }

            fn remove(&mut self, name: &HeaderName) {
                self.0.remove_header(name);
            }

            fn set(&mut self, name: HeaderName, value: HeaderValue) {
                let _ = self.0.insert_header(name, value);
            }

            fn append(&mut self, name: HeaderName, value: HeaderValue) {
                let _ = self.0.append_header(name, value);
            }
        }

        impl HeaderStore for $head<'_> {
            fn map(&self) -> &HeaderMap {
                &self.0.headers
            }

            fn set(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.0.insert_header(name.clone(), value);
            }

            fn append(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.0.append_header(name.clone(), value);
            }

            fn remove(&mut self, name: &HeaderName) {
                self.0.remove_header(name);
            }
        }
    };
}

edits!(RequestFields);
edits!(ResponseFields);

/// Applies what a route says about fields: first removed, then set, then added.
pub(super) fn apply(edits: &HeaderEdits, head: &mut impl HeadEdit) {
    for name in &edits.remove {
        head.remove(name);
    }
    for (name, value) in &edits.set {
        head.set(name.clone(), value.clone());
    }
    for (name, value) in &edits.add {
        head.append(name.clone(), value.clone());
    }
}
