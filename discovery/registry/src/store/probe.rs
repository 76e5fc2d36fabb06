//! When a check is tried, and what a run of results means.
//! Pure: it names the try to make; `check` makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_consul_wire::{AgentCheckDefinition, CheckStatus};

use crate::limits::{CHECK_INTERVAL_MIN, CHECK_TIMEOUT_DEFAULT, FIRST_TRY_WITHIN};

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Send one HTTP request: 2xx passes, 429 warns, anything else is critical.
    Http {
        /// Where to.
        url: String,
        /// `GET` unless the check says otherwise.
        method: String,
        /// Headers, each with its values.
        headers: BTreeMap<String, Vec<String>>,
        /// Body, often empty.
        body: String,
        /// Accept any certificate.
        tls_skip_verify: bool,
    },
    /// Open one TCP connection and close it.
    Tcp {
        /// `host:port`.
        address: String,
    },
}

/// A try to make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryJob {
    /// The check.
    pub id: String,
    /// To be handed back in [`super::Command::FinishTry`].
    pub generation: u64,
    /// What to try.
    pub probe: Probe,
    /// Give up after this time.
    pub timeout: Duration,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryResult {
    /// Passing, warning or critical.
    pub status: CheckStatus,
    /// What to show humans; cut at [`crate::limits::CHECK_OUTPUT_BYTES_MAX`].
    pub output: String,
}

/// The plan of a check that is tried by the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) probe: Probe,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) due: Duration,
    pub(super) under_way: bool,
    streak: Streak,
}

/// How many results in a row went one way, and how many it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streak {
    successes: u16,
    failures: u16,
    before_passing: u16,
    before_warning: u16,
    before_critical: u16,
}

impl Plan {
    /// The plan of a definition that has an HTTP or a TCP probe.
    pub(super) fn of(definition: &AgentCheckDefinition, id: &str, now: Duration) -> Option<Self> {
        let probe = probe(definition)?;
        let interval =
            definition.interval.map_or(CHECK_INTERVAL_MIN, |interval| interval.0).max(CHECK_INTERVAL_MIN);
        let timeout = definition
            .timeout
            .map(|timeout| timeout.0)
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(CHECK_TIMEOUT_DEFAULT);
        let before_critical = definition.failures_before_critical;
        let before_warning = if definition.failures_before_warning == 0 {
            before_critical
        } else {
            definition.failures_before_warning
        };
        let streak = Streak {
            successes: 0,
            failures: 0,
            before_passing: definition.success_before_passing,
            before_warning,
            before_critical,
        };
        let due = now.saturating_add(first_pause(id, interval));
        Some(Self { probe, interval, timeout, due, under_way: false, streak })
    }

    /// Takes one result; returns the status it amounts to, or `None` while the streak is too short to say.
    pub(super) fn settle(&mut self, status: CheckStatus, now: Duration) -> Option<CheckStatus> {
        self.under_way = false;
        self.due = now.saturating_add(self.interval);
        self.streak.settle(status)
    }
}

impl Streak {
    fn settle(&mut self, status: CheckStatus) -> Option<CheckStatus> {
        match status {
            CheckStatus::Passing | CheckStatus::Warning => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                (self.successes >= self.before_passing).then_some(status)
            }
            CheckStatus::Critical | CheckStatus::Maintenance => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.before_critical {
                    Some(CheckStatus::Critical)
                } else {
                    (self.failures >= self.before_warning).then_some(CheckStatus::Warning)
                }
            }
        }
    }
}

/// HTTP wins over TCP when both are given, as in Consul.
fn probe(definition: &AgentCheckDefinition) -> Option<Probe> {
    if !definition.http.is_empty() {
        let method = if definition.method.is_empty() { "GET" } else { &definition.method };
        return Some(Probe::Http {
            url: definition.http.clone(),
            method: method.to_owned(),
            headers: definition.header.clone(),
            body: definition.body.clone(),
            tls_skip_verify: definition.tls_skip_verify,
        });
    }
    (!definition.tcp.is_empty()).then(|| Probe::Tcp { address: definition.tcp.clone() })
}

/// Spreads first tries by the check's id, so that a fleet that registers at once is not tried at once.
/// FNV-1a, because it is short and needs no seed.
fn first_pause(id: &str, interval: Duration) -> Duration {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let within = u64::try_from(interval.min(FIRST_TRY_WITHIN).as_millis()).unwrap_or(1).max(1);
    Duration::from_millis(hash % within)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(definition: AgentCheckDefinition) -> Plan {
        let definition = AgentCheckDefinition {
            tcp: "127.0.0.1:1".into(),
            interval: Some(Duration::from_millis(10).into()),
            ..definition
        };
        Plan::of(&definition, "c", Duration::ZERO).unwrap()
    }

    #[test]
    fn an_interval_below_the_minimum_is_raised_and_the_first_try_comes_soon() {
        let plan = plan(AgentCheckDefinition::default());
        assert_eq!(plan.interval, CHECK_INTERVAL_MIN);
        assert!(plan.due < FIRST_TRY_WITHIN);
    }

    #[test]
    fn results_count_only_after_the_streak_that_the_check_asks_for() {
        let mut plan = plan(AgentCheckDefinition {
            success_before_passing: 2,
            failures_before_warning: 2,
            failures_before_critical: 3,
            ..AgentCheckDefinition::default()
        });
        let mut settle = |status| plan.settle(status, Duration::ZERO);
        assert_eq!(settle(CheckStatus::Passing), None);
        assert_eq!(settle(CheckStatus::Passing), Some(CheckStatus::Passing));
        assert_eq!(settle(CheckStatus::Critical), None);
        assert_eq!(settle(CheckStatus::Critical), Some(CheckStatus::Warning));
        assert_eq!(settle(CheckStatus::Critical), Some(CheckStatus::Critical));
        assert_eq!(settle(CheckStatus::Passing), None);
    }
}
