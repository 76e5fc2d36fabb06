//! Smooth weighted round-robin over a prepared schedule.
//!
//! Decides the next endpoint by one atomic step along the schedule: O(1), whatever the number of
//! endpoints and their weights. Never looks at how busy they are.

use super::{Schedule, Turn, scan};

/// How many positions of the schedule are tried before every endpoint is asked in turn.
const PROBES_MAX: u32 = 16;

/// Refused positions are taken from the shared turn, not skipped locally: were the turn left where
/// it is, the endpoint behind a refused one would get the refused one's share on top of its own.
pub(super) fn pick<T>(
    schedule: &Schedule,
    turn: &Turn,
    rng: &mut dyn FnMut() -> u64,
    mut admit: impl FnMut(usize) -> Option<T>,
) -> Option<T> {
    let mut last = 0;
    for _ in 0..PROBES_MAX {
        last = schedule.at(turn.next(rng))?;
        if let Some(admitted) = admit(last) {
            return Some(admitted);
        }
    }
    scan(schedule.n_endpoints(), last, &mut admit)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn schedule(weights: &[u16]) -> Schedule {
        Schedule::new(&weights.iter().map(|w| NonZeroU16::new(*w).unwrap()).collect::<Vec<_>>())
    }

    fn counts(weights: &[u16], n_picks: usize, admitted: impl Fn(usize) -> bool) -> Vec<usize> {
        let (schedule, turn) = (schedule(weights), Turn::default());
        let mut counts = vec![0; weights.len()];
        for _ in 0..n_picks {
            let picked = pick(&schedule, &turn, &mut || 0, |idx| admitted(idx).then_some(idx));
            if let Some(idx) = picked {
                counts[idx] += 1;
            }
        }
        counts
    }

    #[test]
    fn each_endpoint_gets_its_weight() {
        assert_eq!(counts(&[5, 1, 2], 80, |_| true), [50, 10, 20]);
    }

    #[test]
    fn the_share_of_a_refused_endpoint_is_spread_over_all_others() {
        assert_eq!(counts(&[1, 1, 1, 1, 1], 40, |idx| idx != 2), [10, 10, 0, 10, 10]);
    }

    #[test]
    fn the_last_admitted_endpoint_is_found_among_many() {
        let weights = vec![1; 1_000];
        assert_eq!(counts(&weights, 5, |idx| idx == 777)[777], 5);
        assert_eq!(counts(&[1_000, 1], 5, |idx| idx == 1)[1], 5);
    }

    #[test]
    fn nobody_is_picked_where_nobody_is_admitted() {
        assert_eq!(counts(&[1, 2], 3, |_| false), [0, 0]);
        assert_eq!(pick(&schedule(&[]), &Turn::default(), &mut || 0, Some), None);
    }
}
