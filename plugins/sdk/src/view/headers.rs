//! Header fields as a filter may edit them, over whatever the gateway keeps them in.
//!
//! Decides which names a filter may never touch. Does no parsing of values.

use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use crate::Fault;

/// Where header fields live. The gateway implements it for its proxy engine's type; [`HeaderMap`] is one as it is.
pub trait HeaderStore: Send {
    /// The fields, to read.
    fn map(&self) -> &HeaderMap;
    /// Replaces every field of this name by one.
    fn set(&mut self, name: &HeaderName, value: HeaderValue);
    /// Adds one field after those of the same name.
    fn append(&mut self, name: &HeaderName, value: HeaderValue);
    /// Removes every field of this name.
    fn remove(&mut self, name: &HeaderName);
}

impl HeaderStore for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }

    fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}

/// Whether a field decides how messages are framed, which connection they use or which authority they are for.
/// Such fields are the gateway's: a filter that could write them could smuggle requests.
#[must_use]
pub fn is_gateway_owned(name: &HeaderName) -> bool {
    const OWNED: [HeaderName; 8] =
        [CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    OWNED.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// A filter tried to change a field that is the gateway's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("header `{name}` belongs to the gateway and cannot be changed by a filter")]
pub struct HeaderRefused {
    /// The field's name.
    pub name: HeaderName,
}

impl From<HeaderRefused> for Fault {
    fn from(refused: HeaderRefused) -> Self {
        Fault::new(refused.to_string())
    }
}

/// Header fields that a filter may edit.
pub struct Headers<'a> {
    store: &'a mut dyn HeaderStore,
}

impl<'a> Headers<'a> {
    /// Fields in the given store.
    pub fn new(store: &'a mut dyn HeaderStore) -> Self {
        Self { store }
    }

    /// All fields, to read.
    #[must_use]
    pub fn map(&self) -> &HeaderMap {
        self.store.map()
    }

    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.map().get(name)
    }

    /// Replaces every field of this name by one.
    ///
    /// # Errors
    /// [`HeaderRefused`] if [`is_gateway_owned`] says so.
    pub fn set(&mut self, name: &HeaderName, value: HeaderValue) -> Result<(), HeaderRefused> {
        may_change(name)?;
        self.store.set(name, value);
        Ok(())
    }

    /// Adds one field after those of the same name.
    ///
    /// # Errors
    /// [`HeaderRefused`] if [`is_gateway_owned`] says so.
    pub fn append(&mut self, name: &HeaderName, value: HeaderValue) -> Result<(), HeaderRefused> {
        may_change(name)?;
        self.store.append(name, value);
        Ok(())
    }

    /// Removes every field of this name; that there is none is no error.
    ///
    /// # Errors
    /// [`HeaderRefused`] if [`is_gateway_owned`] says so.
    pub fn remove(&mut self, name: &HeaderName) -> Result<(), HeaderRefused> {
        may_change(name)?;
        self.store.remove(name);
        Ok(())
    }
}

impl fmt::Debug for Headers<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map().keys()).finish()
    }
}

fn may_change(name: &HeaderName) -> Result<(), HeaderRefused> {
    if is_gateway_owned(name) { Err(HeaderRefused { name: name.clone() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_connection_fields_are_out_of_reach() {
        let mut map = HeaderMap::new();
        let mut headers = Headers::new(&mut map);
        for name in
            ["content-length", "transfer-encoding", "connection", "host", "te", "upgrade", "keep-alive"]
        {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_static("x");
            assert!(headers.set(&name, value.clone()).is_err(), "{name}");
            assert!(headers.append(&name, value).is_err(), "{name}");
            assert!(headers.remove(&name).is_err(), "{name}");
        }
        assert!(map.is_empty());
    }

    #[test]
    fn set_replaces_append_adds_and_remove_takes_all() {
        let name = HeaderName::from_static("x-a");
        let mut map = HeaderMap::new();
        let mut headers = Headers::new(&mut map);
        headers.append(&name, HeaderValue::from_static("1")).unwrap();
        headers.append(&name, HeaderValue::from_static("2")).unwrap();
        assert_eq!(headers.map().get_all(&name).iter().count(), 2);
        headers.set(&name, HeaderValue::from_static("3")).unwrap();
        assert_eq!(headers.get(&name).unwrap(), "3");
        assert_eq!(headers.map().len(), 1);
        headers.remove(&name).unwrap();
        assert!(map.is_empty());
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let mut map = HeaderMap::new();
        map.insert("authorization", HeaderValue::from_static("Bearer secret"));
        let shown = format!("{:?}", Headers::new(&mut map));
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
    }
}
