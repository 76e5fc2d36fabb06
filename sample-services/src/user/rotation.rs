//! When a signing key is made, when it signs, and when it is forgotten. Pure.
//!
//! A key is published before it signs, for as long as others may work with keys they read before; and after it has
//! been replaced, for as long as a token signed with it may live. So no token ever meets a gateway without its key.

/// How long the steps of a key's life take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// How long a key signs.
    pub(super) rotation_ms: i64,
    /// How long it is published before.
    pub(super) lead_ms: i64,
    /// How long it is published after.
    pub(super) kept_ms: i64,
}

/// A key's place in the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Which key: each has the number after the one before.
    pub(super) generation: i64,
    /// From when on it signs, until the next does.
    pub(super) signs_from_ms: i64,
}

/// What is to be done about the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// A key to make and to publish.
    pub(super) make: Option<Turn>,
    /// Generations to forget.
    pub(super) forget: Vec<i64>,
}

/// What is to be done at `now_ms` about these keys, oldest first.
pub(super) fn plan(now_ms: i64, turns: &[Turn], times: Times) -> Plan {
    let over = turns.windows(2).filter_map(|pair| match pair {
        [turn, next] if next.signs_from_ms.saturating_add(times.kept_ms) <= now_ms => Some(turn.generation),
        _ => None,
    });
    Plan { make: due(now_ms, turns, times), forget: over.collect() }
}

fn due(now_ms: i64, turns: &[Turn], times: Times) -> Option<Turn> {
    let Some(newest) = turns.last() else {
        // The first of all: nobody can have read the keys before it.
        return Some(Turn { generation: 1, signs_from_ms: now_ms });
    };
    let ends_ms = newest.signs_from_ms.saturating_add(times.rotation_ms);
    (ends_ms.saturating_sub(times.lead_ms) <= now_ms).then(|| after(now_ms, *newest, times))
}

/// The key after the newest, whether its time has come or not; none while the newest does not sign yet.
pub(super) fn forced(now_ms: i64, turns: &[Turn], times: Times) -> Option<Turn> {
    match turns.last() {
        None => due(now_ms, turns, times),
        Some(newest) if newest.signs_from_ms > now_ms => None,
        Some(newest) => Some(after(now_ms, *newest, times)),
    }
}

const fn after(now_ms: i64, newest: Turn, times: Times) -> Turn {
    Turn { generation: newest.generation + 1, signs_from_ms: now_ms.saturating_add(times.lead_ms) }
}

/// The key that signs at `now_ms`.
pub(super) fn signing(now_ms: i64, turns: &[Turn]) -> Option<Turn> {
    // A clock set back finds only keys of the future: the oldest is the one most have heard of.
    turns.iter().rev().find(|turn| turn.signs_from_ms <= now_ms).or(turns.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { rotation_ms: 1000, lead_ms: 100, kept_ms: 200 };

    fn turn(generation: i64, signs_from_ms: i64) -> Turn {
        Turn { generation, signs_from_ms }
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_is_published_before_it_does() {
        let make = |now_ms, turns: &[Turn]| plan(now_ms, turns, TIMES).make;
        assert_eq!(make(5000, &[]), Some(turn(1, 5000)));
        assert_eq!(make(5899, &[turn(1, 5000)]), None);
        assert_eq!(make(5900, &[turn(1, 5000)]), Some(turn(2, 6000)));
        assert_eq!(make(5900, &[turn(1, 5000), turn(2, 6000)]), None);
        // After a long sleep the next one still gets its lead.
        assert_eq!(make(9000, &[turn(1, 5000)]), Some(turn(2, 9100)));
    }

    #[test]
    fn a_key_that_was_replaced_stays_as_long_as_its_tokens() {
        let forget = |now_ms| plan(now_ms, &[turn(1, 5000), turn(2, 6000)], TIMES).forget;
        assert_eq!(forget(6199), [0; 0]);
        assert_eq!(forget(6200), [1]);
    }

    #[test]
    fn a_rotation_by_hand_waits_for_the_one_under_way() {
        assert_eq!(forced(5100, &[turn(1, 5000)], TIMES), Some(turn(2, 5200)));
        assert_eq!(forced(5150, &[turn(1, 5000), turn(2, 5200)], TIMES), None);
        assert_eq!(forced(5200, &[turn(1, 5000), turn(2, 5200)], TIMES), Some(turn(3, 5300)));
    }

    #[test]
    fn no_token_meets_a_reader_without_its_key() {
        // A reader reads the keys every `lead`; a token lives for `kept`; somebody rotates by hand now and then.
        let (mut turns, mut read, mut tokens): (Vec<Turn>, Vec<i64>, Vec<(i64, i64)>) = Default::default();
        let mut signers = std::collections::BTreeSet::new();
        for now_ms in 0..20_000 {
            let Plan { make, forget } = plan(now_ms, &turns, TIMES);
            let by_hand = if now_ms % 707 == 0 { forced(now_ms, &turns, TIMES) } else { None };
            turns.extend(make.or(by_hand));
            turns.retain(|turn| !forget.contains(&turn.generation));
            if now_ms % TIMES.lead_ms == 0 {
                read = turns.iter().map(|turn| turn.generation).collect();
            }
            let signer = signing(now_ms, &turns).unwrap().generation;
            signers.insert(signer);
            tokens.push((signer, now_ms + TIMES.kept_ms));
            tokens.retain(|(_, expires_ms)| *expires_ms > now_ms);
            assert!(tokens.iter().all(|(signer, _)| read.contains(signer)), "at {now_ms}: {read:?}");
        }
        assert!(signers.len() > 10, "{signers:?}");
    }
}
