//! What traffic is told when the registry's answer may be a lie: a brake on sudden loss.
//!
//! It decides when a removal is believed. An agent restart, a lost token and an unknown service all look like
//! scale-to-zero (`200 []`), so a sudden loss is held for a grace period and applied if it is still true then.
//! Additions and health changes pass at once, and so do removals of what was already critical.
//! It never reads a clock and never talks to anybody.

use std::collections::HashSet;
use std::time::Duration;

use portcullis_discovery_model::{Endpoint, EndpointSet, Health};

/// What a sudden loss means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPolicy {
    /// Never believed: what was lost stays until the registry names it again or lists enough others.
    Keep,
    /// Believed once it has lasted this long.
    Grace(Duration),
    /// Believed at once.
    Trust,
}

/// The knobs of the brake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrakeSettings {
    /// What happens to a loss that triggers the brake.
    pub policy: LossPolicy,
    /// The share (0..=1) of the usable endpoints that may vanish in one answer without triggering the brake.
    /// An answer without any endpoint triggers it always.
    pub max_removal_ratio: f64,
}

impl Default for BrakeSettings {
    fn default() -> Self {
        Self { policy: LossPolicy::Grace(Duration::from_secs(30)), max_removal_ratio: 0.5 }
    }
}

/// The brake of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Brake {
    settings: BrakeSettings,
    shown: Option<EndpointSet>,
    doubt: Option<Doubt>,
    in_contact: bool,
}

/// A sudden loss that is not believed yet.
#[derive(Debug, Clone, PartialEq)]
struct Doubt {
    /// What was shown before the loss.
    before: EndpointSet,
    /// The last answer.
    answer: EndpointSet,
    since: Duration,
}

impl Brake {
    /// A brake that has seen nothing.
    #[must_use]
    pub fn new(settings: BrakeSettings) -> Self {
        Self { settings, shown: None, doubt: None, in_contact: false }
    }

    /// A brake that starts from the last known set of an earlier life.
    #[must_use]
    pub fn restored(settings: BrakeSettings, set: EndpointSet) -> Self {
        Self { shown: Some(set), ..Self::new(settings) }
    }

    /// What traffic is told now; `None` before the first answer.
    #[must_use]
    pub fn shown(&self) -> Option<&EndpointSet> {
        self.shown.as_ref()
    }

    /// Whether endpoints are kept that the last answer did not name, and since when.
    #[must_use]
    pub fn held_since(&self) -> Option<Duration> {
        self.doubt.as_ref().map(|doubt| doubt.since)
    }

    /// When [`Brake::tick`] should be called; `None` when time alone changes nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let since = self.held_since()?;
        match self.settings.policy {
            // Without contact nobody can say that the loss still lasts, so the clock stands still.
            LossPolicy::Grace(grace) if self.in_contact => Some(since + grace),
            LossPolicy::Grace(_) | LossPolicy::Keep | LossPolicy::Trust => None,
        }
    }

    /// Takes an answer; returns what traffic is to be told when that changed.
    #[must_use]
    pub fn offer(&mut self, answer: &EndpointSet, now: Duration) -> Option<EndpointSet> {
        let back = !std::mem::replace(&mut self.in_contact, true);
        let Some(shown) = self.shown.clone() else {
            return self.show(answer.clone());
        };
        // A loss is measured against what was there before it began, or it would be forgiven bit by bit.
        let (before, since) = match self.doubt.take() {
            Some(doubt) => (doubt.before, if back { now } else { doubt.since }),
            None => (shown, now),
        };
        let lost = missing(&before, answer);
        if !self.brakes(&before, &lost, answer) {
            return self.show(answer.clone());
        }
        let told = self.show(answer.iter().chain(lost).cloned().collect());
        self.doubt = Some(Doubt { before, answer: answer.clone(), since });
        // A grace of nothing, or one that is over, is settled here rather than by a timer in the past.
        self.tick(now).or(told)
    }

    /// Contact is lost: nothing is believed until it is back.
    pub fn lost_contact(&mut self) {
        self.in_contact = false;
    }

    /// Contact is back and the answer is still the last one. A loss under doubt gets a new grace, because the
    /// registry may just have restarted with nothing in it.
    pub fn regained_contact(&mut self, now: Duration) {
        let back = !std::mem::replace(&mut self.in_contact, true);
        if let (true, Some(doubt)) = (back, self.doubt.as_mut()) {
            doubt.since = now;
        }
    }

    /// Believes a loss whose grace is over.
    #[must_use]
    pub fn tick(&mut self, now: Duration) -> Option<EndpointSet> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let doubt = self.doubt.take()?;
        self.show(doubt.answer)
    }

    fn show(&mut self, set: EndpointSet) -> Option<EndpointSet> {
        if self.shown.as_ref() == Some(&set) {
            return None;
        }
        self.shown = Some(set.clone());
        Some(set)
    }

    fn brakes(&self, before: &EndpointSet, lost: &[&Endpoint], answer: &EndpointSet) -> bool {
        let n_lost = lost.iter().filter(|endpoint| usable(endpoint)).count();
        let n_before = before.iter().filter(|endpoint| usable(endpoint)).count();
        // New instances in the place of old ones are a deployment, not a loss.
        let n_gained = missing(answer, before).into_iter().filter(|endpoint| usable(endpoint)).count();
        let mass = n_lost.saturating_sub(n_gained) as f64 > self.settings.max_removal_ratio * n_before as f64;
        let braked = self.settings.policy != LossPolicy::Trust && n_lost > 0;
        braked && (mass || answer.is_empty())
    }
}

fn usable(endpoint: &Endpoint) -> bool {
    endpoint.health != Health::Critical
}

/// What `from` names and `other` does not, neither by id nor by address (the same instance on a new port is not
/// missing, and neither is a new id at an old address).
fn missing<'a>(from: &'a EndpointSet, other: &EndpointSet) -> Vec<&'a Endpoint> {
    let ids: HashSet<_> = other.iter().map(|endpoint| &endpoint.id).collect();
    let addresses: HashSet<_> = other.iter().map(|endpoint| endpoint.address).collect();
    from.iter()
        .filter(|endpoint| !ids.contains(&endpoint.id) && !addresses.contains(&endpoint.address))
        .collect()
}

#[cfg(test)]
#[path = "fail_static_tests.rs"]
mod tests;
