//! Which process is killed when: a plan that follows from its seed.
//!
//! Most kills happen at a named point of a service, reached for the so manieth time: before and after
//! each commit, publication and acknowledgement. The rest happen at once, whatever the victim is at.

use crate::dice::Dice;

/// How often a point is passed before the kill, at most.
const NTH_MAX: u64 = 3;

/// One that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    User,
    Product,
    Order,
    Payment,
    Gateway,
    Registry,
    Broker,
}

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// At this point of the service, reached for the `nth` time from now; it kills itself.
    Reaches { point: &'static str, nth: u32 },
    /// From outside, now.
    Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kill {
    pub(crate) victim: Victim,
    pub(crate) when: When,
}

/// How the order service that is started next has its orders paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payment {
    Rest,
    Event,
}

impl Payment {
    /// As the setting `PAYMENT` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Event => "event",
        }
    }
}

/// Every point of every service. The product service publishes only when stock is lost, which takes longer than a run.
pub(crate) const POINTS: [(Victim, &str); 26] = [
    (Victim::Order, "order.placed"),
    (Victim::Order, "order.reserving"),
    (Victim::Order, "order.reserved_before_commit"),
    (Victim::Order, "order.reserved"),
    (Victim::Order, "order.charging"),
    (Victim::Order, "order.charged_before_commit"),
    (Victim::Order, "order.paid"),
    (Victim::Order, "outbox.before_publish"),
    (Victim::Order, "outbox.published"),
    (Victim::Order, "outbox.marked"),
    (Victim::Order, "inbox.before_commit"),
    (Victim::Order, "inbox.committed"),
    (Victim::Order, "inbox.acknowledged"),
    (Victim::Product, "product.reserve_before_commit"),
    (Victim::Product, "product.reserve_committed"),
    (Victim::Product, "inbox.before_commit"),
    (Victim::Product, "inbox.committed"),
    (Victim::Product, "inbox.acknowledged"),
    (Victim::Payment, "payment.charge_before_commit"),
    (Victim::Payment, "payment.charge_committed"),
    (Victim::Payment, "outbox.before_publish"),
    (Victim::Payment, "outbox.published"),
    (Victim::Payment, "outbox.marked"),
    (Victim::Payment, "inbox.before_commit"),
    (Victim::Payment, "inbox.committed"),
    (Victim::Payment, "inbox.acknowledged"),
];

/// The point that only a broker has.
const ACKNOWLEDGED: &str = "inbox.acknowledged";

/// Of a hundred kills, so many are of these, at once.
const AT_ONCE: [(Victim, usize); 7] = [
    (Victim::Broker, 5),
    (Victim::Registry, 4),
    (Victim::Gateway, 3),
    (Victim::Order, 2),
    (Victim::Product, 2),
    (Victim::Payment, 2),
    (Victim::User, 2),
];

/// So many kills, in the order that the seed gives. Points take turns, so that each is hit about equally often.
pub(crate) fn plan(seed: u64, kills: usize, has_broker: bool) -> Vec<Kill> {
    let mut dice = Dice::new(seed);
    let mut plan: Vec<Kill> = Vec::with_capacity(kills);
    for (victim, of_hundred) in AT_ONCE {
        // Without a broker the registry carries the events: who is to hear of them is known there.
        let victim = if victim == Victim::Broker && !has_broker { Victim::Registry } else { victim };
        let count = (kills * of_hundred).div_ceil(100);
        plan.extend((0..count).map(|_| Kill { victim, when: When::Now }));
    }
    dice.shuffle(&mut plan);
    // With few kills the points come first.
    plan.truncate(kills / 3);
    // Over HTTP the answer is the acknowledgement, and nothing comes after it.
    let mut points: Vec<_> =
        POINTS.into_iter().filter(|(_, point)| has_broker || *point != ACKNOWLEDGED).collect();
    while plan.len() < kills {
        dice.shuffle(&mut points);
        for (victim, point) in points.iter().take(kills - plan.len()) {
            let nth = u32::try_from(dice.between(1, NTH_MAX)).unwrap_or(1);
            plan.push(Kill { victim: *victim, when: When::Reaches { point, nth } });
        }
    }
    dice.shuffle(&mut plan);
    plan
}

impl Kill {
    /// The way of paying without which this point is not reached.
    pub(crate) fn needs(&self) -> Option<Payment> {
        let When::Reaches { point, .. } = self.when else { return None };
        match (self.victim, point) {
            (Victim::Order, "order.charging" | "order.charged_before_commit" | "order.paid")
            | (Victim::Payment, "payment.charge_before_commit" | "payment.charge_committed") => {
                Some(Payment::Rest)
            }
            (Victim::Order | Victim::Payment, point)
                if point.starts_with("inbox.") || point.starts_with("outbox.") =>
            {
                Some(Payment::Event)
            }
            _ => None,
        }
    }

    /// What the kill is counted under.
    pub(crate) fn point(&self) -> &'static str {
        match self.when {
            When::Reaches { point, .. } => point,
            When::Now => "at once",
        }
    }
}

impl Victim {
    /// What its process is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Gateway => "gateway",
            Self::Registry => "registry",
            Self::Broker => "broker",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(plan: &[Kill]) -> BTreeMap<(Victim, &'static str), usize> {
        let mut counts = BTreeMap::new();
        for kill in plan {
            *counts.entry((kill.victim, kill.point())).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_plan_follows_from_its_seed() {
        assert_eq!(plan(1, 200, true), plan(1, 200, true));
        assert_ne!(plan(1, 200, true), plan(2, 200, true));
    }

    #[test]
    fn two_hundred_kills_hit_every_point_about_equally_and_everybody_at_once() {
        let plan = plan(7, 200, true);
        assert_eq!(plan.len(), 200);
        let counts = counts(&plan);
        for (victim, point) in POINTS {
            let count = counts.get(&(victim, point)).copied().unwrap_or_default();
            assert!((6..=8).contains(&count), "{} {point}: {count}", victim.name());
        }
        for (victim, of_hundred) in AT_ONCE {
            assert_eq!(counts.get(&(victim, "at once")), Some(&(2 * of_hundred)), "{}", victim.name());
        }
        assert!(plan.iter().all(|kill| !matches!(kill.when, When::Reaches { nth: 0, .. })));
    }

    #[test]
    fn a_short_plan_still_hits_many_points() {
        for kills in [1, 10, 36] {
            let plan = plan(3, kills, true);
            assert_eq!(plan.len(), kills);
            let at_points = plan.iter().filter(|kill| kill.when != When::Now).count();
            assert!(at_points * 3 >= kills * 2, "{at_points} of {kills}");
        }
    }

    #[test]
    fn without_a_broker_none_is_killed_and_nothing_is_acknowledged() {
        let plan = plan(1, 200, false);
        assert!(plan.iter().all(|kill| kill.victim != Victim::Broker && kill.point() != ACKNOWLEDGED));
    }
}
