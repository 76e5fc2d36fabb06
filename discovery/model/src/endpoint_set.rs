//! The set of endpoints that answer for one service at one moment.
//!
//! Decides the order of a set and which of two entries for one endpoint counts, so that equal
//! answers compare equal. Never remembers an earlier set: the difference is computed where
//! state is carried.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::Endpoint;

/// An immutable set of endpoints, sorted by address and id, each pair once. Cloning is cheap.
///
/// Two sets are equal exactly when they hold the same endpoints with the same properties, in
/// whatever order they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSet(Arc<[Endpoint]>);

impl EndpointSet {
    /// The set of `endpoints`.
    ///
    /// Where two entries have the same address and id the more cautious one is kept: worse health
    /// first, then the smaller weight. The rest of the order only makes the choice independent of
    /// the order of the input.
    #[must_use]
    pub fn new(mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort_unstable_by(|a, b| identity(a, b).then_with(|| caution(a, b)));
        endpoints.dedup_by(|later, kept| identity(later, kept).is_eq());
        Self(endpoints.into())
    }

    /// The endpoints in the order of the set.
    pub fn iter(&self) -> std::slice::Iter<'_, Endpoint> {
        self.0.iter()
    }

    /// The endpoints in the order of the set.
    #[must_use]
    pub fn as_slice(&self) -> &[Endpoint] {
        &self.0
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a EndpointSet {
    type Item = &'a Endpoint;
    type IntoIter = std::slice::Iter<'a, Endpoint>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<T: IntoIterator<Item = Endpoint>>(endpoints: T) -> Self {
        Self::new(endpoints.into_iter().collect())
    }
}

fn identity(a: &Endpoint, b: &Endpoint) -> Ordering {
    a.address.cmp(&b.address).then_with(|| a.id.cmp(&b.id))
}

fn caution(a: &Endpoint, b: &Endpoint) -> Ordering {
    (b.health.cmp(&a.health))
        .then_with(|| a.weight.cmp(&b.weight))
        .then_with(|| a.tags.cmp(&b.tags))
        .then_with(|| a.meta.cmp(&b.meta))
        .then_with(|| a.datacenter.cmp(&b.datacenter))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroU16;

    use super::*;
    use crate::{EndpointId, Health};

    fn endpoint(id: &str, port: u16, weight: u16, health: Health) -> Endpoint {
        Endpoint {
            id: EndpointId::new(id).unwrap(),
            weight: NonZeroU16::new(weight).unwrap(),
            health,
            ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let all = [
            endpoint("b", 2, 1, Health::Passing),
            endpoint("a", 1, 5, Health::Passing),
            endpoint("a", 1, 2, Health::Passing),
            endpoint("a", 1, 3, Health::Warning),
            endpoint("c", 1, 1, Health::Critical),
        ];
        let forward = EndpointSet::new(all.to_vec());
        let backward: EndpointSet = all.iter().rev().cloned().collect();
        assert_eq!(forward, backward);
        let ids: Vec<_> = forward.iter().map(|e| (e.address.port(), e.id.as_str())).collect();
        assert_eq!(ids, [(1, "a"), (1, "c"), (2, "b")]);
    }

    #[test]
    fn of_two_entries_for_one_endpoint_the_more_cautious_counts() {
        let set = EndpointSet::new(vec![
            endpoint("a", 1, 9, Health::Passing),
            endpoint("a", 1, 7, Health::Critical),
            endpoint("a", 1, 3, Health::Critical),
        ]);
        assert_eq!(set.as_slice(), [endpoint("a", 1, 3, Health::Critical)]);
    }

    #[test]
    fn one_id_at_two_addresses_is_two_endpoints() {
        let set = EndpointSet::new(vec![
            endpoint("a", 1, 1, Health::Passing),
            endpoint("a", 2, 1, Health::Passing),
        ]);
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn sets_that_differ_in_health_only_are_different() {
        let passing = EndpointSet::new(vec![endpoint("a", 1, 1, Health::Passing)]);
        let critical = EndpointSet::new(vec![endpoint("a", 1, 1, Health::Critical)]);
        assert_ne!(passing, critical);
        assert!(EndpointSet::default().is_empty());
    }
}
