//! A breaker's whole state as one word, so that every change is one compare-and-swap.
//!
//! Decides only the layout. Never decides when to change.
//!
//! | bits | what |
//! |---|---|
//! | 0–1 | stage: passing, tripped, probing |
//! | 2–5 | streak: trips since the last recovery, the first not counted |
//! | 6–23 | generation |
//! | 24–63 | passing: failures in a row; tripped: until, in ms; probing: in flight, successes (20 each) |

use std::time::Duration;

use crate::units::Moment;

/// The largest count of probes in flight or succeeded: 20 bits.
pub(super) const COUNT_MAX: u32 = (1 << 20) - 1;
/// The largest streak: doublings beyond it change nothing, 2^15 times any `open` is past the cap.
pub(super) const STREAK_MAX: u32 = (1 << 4) - 1;
const GENERATION_MAX: u32 = (1 << 18) - 1;
/// 40 bits of milliseconds: 34 years after the origin.
const UNTIL_MS_MAX: u64 = (1 << 40) - 1;
const NANOS_PER_MS: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) stage: Stage,
    pub(super) streak: u32,
    pub(super) generation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Passing { failures: u32 },
    Tripped { until: Moment },
    Probing { in_flight: u32, successes: u32 },
}

/// `moment` on the grid that the word can hold, not earlier.
pub(super) fn round_up(moment: Moment) -> Moment {
    let until_ms = moment.as_nanos().div_ceil(NANOS_PER_MS).min(UNTIL_MS_MAX);
    Moment::ORIGIN + Duration::from_millis(until_ms)
}

impl Phase {
    pub(super) const FIRST: Phase = Phase { stage: Stage::Passing { failures: 0 }, streak: 0, generation: 0 };

    /// The same generation with other counts.
    pub(super) fn stay(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// The next generation.
    pub(super) fn enter(self, stage: Stage, streak: u32) -> Self {
        Self { stage, streak, generation: (self.generation + 1) & GENERATION_MAX }
    }

    pub(super) fn pack(self) -> u64 {
        let (kind, payload) = match self.stage {
            Stage::Passing { failures } => (0, u64::from(failures)),
            Stage::Tripped { until } => (1, (until.as_nanos() / NANOS_PER_MS).min(UNTIL_MS_MAX)),
            Stage::Probing { in_flight, successes } => {
                (2, u64::from(in_flight.min(COUNT_MAX)) | u64::from(successes.min(COUNT_MAX)) << 20)
            }
        };
        kind | u64::from(self.streak.min(STREAK_MAX)) << 2
            | u64::from(self.generation & GENERATION_MAX) << 6
            | payload << 24
    }

    pub(super) fn unpack(word: u64) -> Self {
        let payload = word >> 24;
        // The masks make every narrowing lossless.
        let stage = match word & 0b11 {
            0 => Stage::Passing { failures: (payload & u64::from(u32::MAX)) as u32 },
            1 => Stage::Tripped { until: Moment::ORIGIN + Duration::from_millis(payload) },
            _ => Stage::Probing {
                in_flight: (payload & u64::from(COUNT_MAX)) as u32,
                successes: (payload >> 20) as u32,
            },
        };
        Self {
            stage,
            streak: (word >> 2) as u32 & STREAK_MAX,
            generation: (word >> 6) as u32 & GENERATION_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages() -> impl Strategy<Value = Stage> {
        prop_oneof![
            any::<u32>().prop_map(|failures| Stage::Passing { failures }),
            (0..=u64::MAX / 2).prop_map(|ns| Stage::Tripped { until: round_up(Moment::from_nanos(ns)) }),
            (0..=COUNT_MAX, 0..=COUNT_MAX)
                .prop_map(|(in_flight, successes)| Stage::Probing { in_flight, successes }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(stage in stages(), streak in 0..=STREAK_MAX, generation in 0..=GENERATION_MAX) {
            let phase = Phase { stage, streak, generation };
            prop_assert_eq!(Phase::unpack(phase.pack()), phase);
        }
    }

    #[test]
    fn generations_wrap_around() {
        let last = Phase { generation: GENERATION_MAX, ..Phase::FIRST };
        assert_eq!(last.enter(Stage::Passing { failures: 0 }, 0).generation, 0);
    }
}
