//! One blocking query as a pure state machine: what to ask next, when, and whether the answer changed anything.
//!
//! It decides the index, the pace, the backoff and how far a follower's answer is trusted, by the rules of
//! Consul's blocking queries (<https://developer.hashicorp.com/consul/api-docs/features/blocking>).
//! It never reads a clock, a die or a socket, and it never gives up.

use std::time::Duration;

/// How fresh an answer must be, as Consul names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The leader answers, without asking its peers whether it still is the leader.
    #[default]
    Default,
    /// Any server answers; spreads the load and outlives a lost leader.
    Stale,
    /// The leader answers after asking its peers.
    Consistent,
}

/// The numbers one query obeys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuerySettings {
    /// How long the server may hold a query that has nothing new. Short on purpose: after an agent restart a
    /// query with too large an index is held this long before anybody notices.
    pub wait: Duration,
    /// Which servers may answer.
    pub consistency: Consistency,
    /// How old a follower's knowledge may be before the leader is asked instead.
    pub last_contact_max: Duration,
    /// How long the leader is asked after a follower was not trusted.
    pub distrust: Duration,
    /// The steady distance between two requests while a service churns.
    pub pace: Duration,
    /// How many requests may be sent at once before `pace` holds them back.
    pub burst: u32,
    /// The shortest pause after a failure.
    pub backoff_min: Duration,
    /// The longest pause after a failure.
    pub backoff_max: Duration,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(30),
            consistency: Consistency::Default,
            last_contact_max: Duration::from_secs(10),
            distrust: Duration::from_secs(60),
            pace: Duration::from_secs(1),
            burst: 5,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// What the headers of an answer said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// `X-Consul-Index`, as it came.
    pub index: Option<String>,
    /// `X-Consul-Knownleader`.
    pub known_leader: Option<bool>,
    /// `X-Consul-Lastcontact`.
    pub last_contact: Option<Duration>,
    /// The answer came from the agent's own cache or stream, where `Knownleader: false` says nothing about the leader.
    pub from_cache: bool,
}

/// Why there was no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No connection, or it broke before the answer was whole.
    Unreachable,
    /// Nothing whole arrived in time.
    Timeout,
    /// 401 or 403: the token is unknown, expired or too weak.
    Denied,
    /// The token's file cannot be read or holds no token.
    Token,
    /// 429, with the pause it asked for.
    Throttled(Option<Duration>),
    /// Any other status than 200.
    Status(u16),
    /// A body that is not what was asked for.
    Malformed,
    /// A body above the bound.
    TooLarge,
}

impl Trouble {
    /// The labels of all kinds in metrics and logs, in a fixed order.
    pub const LABELS: [&'static str; 8] =
        ["unreachable", "timeout", "denied", "token", "throttled", "status", "malformed", "too_large"];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Unreachable => 0,
            Self::Timeout => 1,
            Self::Denied => 2,
            Self::Token => 3,
            Self::Throttled(_) => 4,
            Self::Status(_) => 5,
            Self::Malformed => 6,
            Self::TooLarge => 7,
        }
    }
}

/// What happened since the last step.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<T> {
    /// The query begins, or a [`Next::Sleep`] is over.
    Woke,
    /// A whole, well-formed answer.
    Answered(AnswerHead, T),
    /// No usable answer.
    Failed(Trouble),
}

/// One request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The index to wait beyond; 0 asks for an immediate answer.
    pub index: u64,
    /// How long the server may hold the request; it counts only with an index.
    pub wait: Duration,
    /// Which servers may answer.
    pub consistency: Consistency,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send this, then step with what came back.
    Request(Ask),
    /// Wait, then step with [`Event::Woke`].
    Sleep(Duration),
}

/// What a step means for those who follow the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update<T> {
    /// A new truth.
    Changed(T),
    /// Contact is lost; the last truth is now of unknown age.
    Lost,
    /// Contact is back and the last truth still holds.
    Regained,
}

/// The state of one query.
#[derive(Debug, Clone)]
pub struct Query<T> {
    settings: QuerySettings,
    index: u64,
    last: Option<T>,
    failures: u32,
    leader_until: Duration,
    asked_at: Duration,
    /// Theoretical arrival time of the pace's token bucket (GCRA, ITU-T I.371).
    paced_until: Duration,
}

impl<T: Clone + PartialEq> Query<T> {
    /// A query that has asked nothing yet. Step it with [`Event::Woke`].
    #[must_use]
    pub fn new(settings: QuerySettings) -> Self {
        Self {
            settings,
            index: 0,
            last: None,
            failures: 0,
            leader_until: Duration::ZERO,
            asked_at: Duration::ZERO,
            paced_until: Duration::ZERO,
        }
    }

    /// The last good answer.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    /// Advances by one event. `now` counts from any fixed origin and never goes back; `rng` is uniform over `u64`.
    #[must_use]
    pub fn step(
        mut self,
        event: Event<T>,
        now: Duration,
        rng: &mut dyn FnMut() -> u64,
    ) -> (Self, Next, Option<Update<T>>) {
        match event {
            Event::Woke => {
                let next = self.request(now);
                (self, next, None)
            }
            Event::Answered(head, value) => {
                let update = self.accept(&head, value, now);
                let next = self.request(now);
                (self, next, update)
            }
            Event::Failed(trouble) => {
                let lost = self.failures == 0;
                // The server may have been replaced by one that counts from the beginning.
                self.index = 0;
                self.failures = self.failures.saturating_add(1);
                let next = Next::Sleep(self.backoff(trouble, rng));
                (self, next, lost.then_some(Update::Lost))
            }
        }
    }

    fn accept(&mut self, head: &AnswerHead, value: T, now: Duration) -> Option<Update<T>> {
        if self.consistency(now) == Consistency::Stale && !self.trusts(head) {
            self.leader_until = now + self.settings.distrust;
            self.index = 0;
            return None;
        }
        let index = parse_index(head.index.as_deref());
        if index < self.index {
            // A snapshot was restored or the agent restarted. This very answer may predate what the next
            // one says, so it is not used: the truth is re-read at once.
            self.index = 0;
            return None;
        }
        // A server that lets go of a query early and has no news is about to stop. Its successor counts from the
        // beginning and would hold our index for the whole wait, so the next question has none.
        let let_go = index == self.index && index > 1 && now < self.asked_at + self.settings.wait;
        self.index = if let_go { 0 } else { index };
        let regained = std::mem::take(&mut self.failures) > 0;
        // Equal indexes are compared as well: a restarted server may have counted up to the same number.
        if self.last.as_ref() == Some(&value) {
            return regained.then_some(Update::Regained);
        }
        self.last = Some(value.clone());
        Some(Update::Changed(value))
    }

    fn trusts(&self, head: &AnswerHead) -> bool {
        let leader = head.from_cache || head.known_leader != Some(false);
        let recent = head.last_contact.is_none_or(|age| age <= self.settings.last_contact_max);
        leader && recent
    }

    fn consistency(&self, now: Duration) -> Consistency {
        match self.settings.consistency {
            Consistency::Stale if now < self.leader_until => Consistency::Default,
            Consistency::Stale => Consistency::Stale,
            Consistency::Default => Consistency::Default,
            Consistency::Consistent => Consistency::Consistent,
        }
    }

    /// The next request, or the pause that keeps it within the pace.
    fn request(&mut self, now: Duration) -> Next {
        let tolerance = self.settings.pace * self.settings.burst.saturating_sub(1);
        let allowed = self.paced_until.saturating_sub(tolerance);
        if now < allowed {
            return Next::Sleep(allowed - now);
        }
        self.paced_until = self.paced_until.max(now) + self.settings.pace;
        self.asked_at = now;
        Next::Request(Ask { index: self.index, wait: self.settings.wait, consistency: self.consistency(now) })
    }

    /// Exponential backoff with full jitter above a floor
    /// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). Without the floor, a
    /// refused connection could be tried again within the same microsecond.
    fn backoff(&self, trouble: Trouble, rng: &mut dyn FnMut() -> u64) -> Duration {
        let exponent = self.failures.saturating_sub(1).min(16);
        let ceiling = self.settings.backoff_min.saturating_mul(1 << exponent).min(self.settings.backoff_max);
        let span = ceiling.saturating_sub(self.settings.backoff_min);
        let jitter = span.mul_f64((rng() >> 11) as f64 / (1_u64 << 53) as f64);
        let pause = self.settings.backoff_min.saturating_add(jitter);
        match trouble {
            Trouble::Throttled(Some(asked)) => pause.max(asked.min(self.settings.backoff_max)),
            Trouble::Throttled(None)
            | Trouble::Unreachable
            | Trouble::Timeout
            | Trouble::Denied
            | Trouble::Token
            | Trouble::Status(_)
            | Trouble::Malformed
            | Trouble::TooLarge => pause,
        }
    }
}

/// `X-Consul-Index` as the rules want it: missing, unreadable, too large or 0 counts as 1, so that a broken
/// server is asked again without ever becoming a busy loop.
fn parse_index(raw: Option<&str>) -> u64 {
    raw.and_then(|text| text.trim().parse::<u64>().ok()).filter(|index| *index > 0).unwrap_or(1)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
