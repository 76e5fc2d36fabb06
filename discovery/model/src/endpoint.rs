//! One address that answers for a service, and what its registry says about it.
//!
//! Decides which identifiers are well formed. Never judges an endpoint: health is as reported,
//! and what to make of it is the balancer's business.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use crate::Meta;

/// The identifier of an endpoint in its registry: 1 to [`EndpointId::BYTES_MAX`] bytes without
/// control characters.
///
/// Identifiers are chosen by whoever registers, so they are checked but not otherwise understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

/// Why a text is not an [`EndpointId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointIdError {
    /// The text is empty.
    #[error("an endpoint id cannot be empty")]
    Empty,
    /// The text is longer than [`EndpointId::BYTES_MAX`].
    #[error("an endpoint id has at most {max} bytes, this one has {bytes}", max = EndpointId::BYTES_MAX)]
    TooLong {
        /// Length of the text in bytes.
        bytes: usize,
    },
    /// The text has a control character, which would forge lines in logs.
    #[error("an endpoint id has no control characters: found one at byte {at}")]
    Control {
        /// Byte offset of the first one.
        at: usize,
    },
}

/// What the registry's checks say about an endpoint; the worst of them counts.
///
/// Ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Every check passes.
    Passing,
    /// A check warns; the endpoint still answers.
    Warning,
    /// A check is critical, or the endpoint is in maintenance.
    Critical,
}

/// One address that answers for a service.
///
/// Identity is the pair of `address` and `id`: state kept about an endpoint follows that pair
/// when everything else about it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identifier in the registry.
    pub id: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the traffic relative to its siblings.
    pub weight: NonZeroU16,
    /// What its registry says about it.
    pub health: Health,
    /// Its tags, in the registry's order.
    pub tags: Arc<[Arc<str>]>,
    /// Its metadata.
    pub meta: Meta,
    /// The datacenter it runs in, where the registry knows one.
    pub datacenter: Option<Arc<str>>,
}

impl EndpointId {
    /// The longest identifier, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// The identifier spelled `text`.
    ///
    /// # Errors
    /// Says what is wrong when `text` is empty, too long or has a control character.
    pub fn new(text: &str) -> Result<Self, EndpointIdError> {
        if text.is_empty() {
            return Err(EndpointIdError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(EndpointIdError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, found)| found.is_control()) {
            Some((at, _)) => Err(EndpointIdError::Control { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The identifier of an endpoint that has none of its own: its address as text.
    #[must_use]
    pub fn of_address(address: SocketAddr) -> Self {
        Self(address.to_string().into())
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = EndpointIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl AsRef<str> for EndpointId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Health {
    /// The registry's word for it: `passing`, `warning` or `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Endpoint {
    /// A passing endpoint of weight one at `address`, named by its address: what a host written
    /// into the configuration is.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            id: EndpointId::of_address(address),
            address,
            weight: NonZeroU16::MIN,
            health: Health::Passing,
            tags: Arc::default(),
            meta: Meta::default(),
            datacenter: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_any_text_that_cannot_forge_a_log_line() {
        assert!(EndpointId::new("web/1 (blue)").is_ok());
        assert_eq!(EndpointId::new(""), Err(EndpointIdError::Empty));
        assert_eq!(EndpointId::new("a\nb"), Err(EndpointIdError::Control { at: 1 }));
        assert_eq!(EndpointId::new(&"i".repeat(513)), Err(EndpointIdError::TooLong { bytes: 513 }));
    }

    #[test]
    fn health_is_ordered_from_best_to_worst() {
        assert!(Health::Passing < Health::Warning && Health::Warning < Health::Critical);
        assert_eq!(Health::Critical.to_string(), "critical");
    }

    #[test]
    fn a_configured_host_is_a_passing_endpoint_named_by_its_address() {
        let endpoint = Endpoint::at("[::1]:8080".parse().unwrap());
        assert_eq!(endpoint.id.as_str(), "[::1]:8080");
        assert_eq!((endpoint.weight.get(), endpoint.health), (1, Health::Passing));
    }
}
