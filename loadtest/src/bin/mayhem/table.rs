//! What happened, as tables for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::plan::Victim;

/// A point that was planned so often and never reached leaves a step untried.
const UNTRIED_FROM: usize = 3;

/// Kills of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// As the plan has it.
    pub(crate) planned: usize,
    /// Died as planned.
    pub(crate) died: usize,
    /// The point was not reached in time; it was killed at once instead.
    pub(crate) at_once_instead: usize,
    /// Until it served again, all together.
    pub(crate) away: Duration,
}

/// All kills, by victim and point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kills(BTreeMap<(Victim, &'static str), Row>);

impl Kills {
    pub(crate) fn of(&mut self, victim: Victim, point: &'static str) -> &mut Row {
        self.0.entry((victim, point)).or_default()
    }

    /// How many died, as planned or at once instead.
    pub(crate) fn n_died(&self) -> usize {
        self.0.values().map(|row| row.died + row.at_once_instead).sum()
    }

    /// Points that were planned and never reached.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.0.iter().filter(|(_, row)| row.planned > 0 && row.died == 0);
        missed.map(|((victim, point), _)| format!("{} {point}", victim.name())).collect()
    }

    /// Of these, those that were planned often enough to be reached: the run has not tried what it is to try.
    pub(crate) fn has_untried(&self) -> bool {
        self.0.values().any(|row| row.planned >= UNTRIED_FROM && row.died == 0)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = "| victim | killed at | planned | died there | at once instead | away, mean |\n|---|---|---|---|---|---|\n".to_owned();
        for ((victim, point), row) in &self.0 {
            let n = u32::try_from(row.died + row.at_once_instead).unwrap_or(u32::MAX).max(1);
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(
                text,
                "| {} | {point} | {} | {} | {} | {} ms |",
                victim.name(),
                row.planned,
                row.died,
                row.at_once_instead,
                (row.away / n).as_millis()
            );
        }
        let sum = |value: fn(&Row) -> usize| self.0.values().map(value).sum::<usize>();
        let _ = writeln!(
            text,
            "| **all** | | {} | {} | {} | |",
            sum(|row| row.planned),
            sum(|row| row.died),
            sum(|row| row.at_once_instead)
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_shown_by_victim_and_point_and_summed() {
        let mut kills = Kills::default();
        *kills.of(Victim::Order, "outbox.published") =
            Row { planned: 3, died: 2, at_once_instead: 1, away: Duration::from_millis(300) };
        *kills.of(Victim::Broker, "at once") = Row { planned: 1, died: 1, ..Row::default() };
        let table = kills.table();
        assert!(table.contains("| order | outbox.published | 3 | 2 | 1 | 100 ms |"), "{table}");
        assert!(table.ends_with("| **all** | | 4 | 3 | 1 | |\n"), "{table}");
        assert_eq!(kills.n_died(), 4);
    }

    #[test]
    fn a_point_that_was_never_reached_is_named() {
        let mut kills = Kills::default();
        kills.of(Victim::Product, "inbox.committed").planned = 2;
        kills.of(Victim::Product, "inbox.committed").at_once_instead = 2;
        assert_eq!(kills.missed(), ["product inbox.committed"]);
        assert!(!kills.has_untried());
        kills.of(Victim::Product, "inbox.committed").planned = 3;
        assert!(kills.has_untried());
    }
}
