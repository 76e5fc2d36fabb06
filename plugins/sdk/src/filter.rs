//! What runs: hooks on the way in and on the way out.
//!
//! Hooks are synchronous on purpose. A filter decides from what it is given; waiting for the network belongs to the
//! gateway, which can bound it. Hooks a filter does not declare are never called and cost nothing.

use std::ops::BitOr;

use crate::{Fault, Flow, RequestView, ResponseView};

/// The built form of a plugin, shared by every worker.
///
/// A panic in a hook is caught and treated as a [`Fault`]; the route's `failure` setting decides what follows.
pub trait Filter: Send + Sync {
    /// The hooks this filter wants. Asked once, when the route's chain is built.
    fn hooks(&self) -> Hooks;

    /// Runs on a CORS preflight before the gates that ask who the client is, since browsers send no credentials with
    /// a preflight. `Flow::Continue` lets the request go on to the gates as any other.
    ///
    /// # Errors
    /// A [`Fault`] when the filter could not do its work.
    fn on_preflight(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        let _ = request;
        Ok(Flow::Continue)
    }

    /// Runs after the gates have let the request in and before an endpoint is chosen.
    ///
    /// # Errors
    /// A [`Fault`] when the filter could not do its work.
    fn on_request(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        let _ = request;
        Ok(Flow::Continue)
    }

    /// Runs on the head of the reply, from the upstream or from the gateway itself. `Flow::Respond` replaces the
    /// whole reply.
    ///
    /// # Errors
    /// A [`Fault`] when the filter could not do its work.
    fn on_response(&self, response: &mut ResponseView<'_>) -> Result<Flow, Fault> {
        let _ = response;
        Ok(Flow::Continue)
    }
}

/// A set of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hooks(u8);

impl Hooks {
    /// No hook at all.
    pub const NONE: Hooks = Hooks(0);
    /// [`Filter::on_preflight`].
    pub const PREFLIGHT: Hooks = Hooks(1);
    /// [`Filter::on_request`].
    pub const REQUEST: Hooks = Hooks(1 << 1);
    /// [`Filter::on_response`].
    pub const RESPONSE: Hooks = Hooks(1 << 2);

    /// Whether every hook of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Hooks) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no hook in this set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Hooks) -> Hooks {
        Hooks(self.0 | other.0)
    }
}

impl BitOr for Hooks {
    type Output = Hooks;

    fn bitor(self, other: Hooks) -> Hooks {
        self.union(other)
    }
}

#[cfg(test)]
mod tests {
    use super::Hooks;

    #[test]
    fn a_set_contains_its_parts_and_nothing_else() {
        let both = Hooks::REQUEST | Hooks::RESPONSE;
        assert!(both.contains(Hooks::REQUEST));
        assert!(both.contains(both));
        assert!(!both.contains(Hooks::PREFLIGHT));
        assert!(!Hooks::REQUEST.contains(both));
        assert!(Hooks::NONE.is_empty());
    }
}
