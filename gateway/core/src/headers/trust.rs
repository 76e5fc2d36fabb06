//! Whose word about a client's address counts.
//!
//! Decides whether an address is inside the configured networks; nothing is trusted by default.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether what a peer says about others is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The peer is one of `trusted_proxies`.
    Trusted,
    /// Anybody else.
    Untrusted,
}

/// The networks of `trusted_proxies`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Box<[IpNet]>);

impl TrustedProxies {
    /// Trusts exactly these networks.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether `address` is in one of them. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is IPv4.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> Trust {
        let address = address.to_canonical();
        if self.0.iter().any(|network| network.contains(&address)) {
            Trust::Trusted
        } else {
            Trust::Untrusted
        }
    }
}
