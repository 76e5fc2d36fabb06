//! The query's rules, one by one, and under random servers.

use super::*;
use proptest::prelude::*;

type Set = Vec<u32>;

/// Runs a query against a server that exists only as a function.
struct Run {
    query: Option<Query<Set>>,
    now: Duration,
    seed: u64,
    requests: Vec<(Duration, Ask)>,
    updates: Vec<(Duration, Update<Set>)>,
}

impl Run {
    fn new(settings: QuerySettings) -> Self {
        Self {
            query: Some(Query::new(settings)),
            now: Duration::ZERO,
            seed: 7,
            requests: Vec::new(),
            updates: Vec::new(),
        }
    }

    fn step(&mut self, event: Event<Set>) -> Next {
        let query = self.query.take().expect("a query");
        let seed = &mut self.seed;
        let (query, next, update) = query.step(event, self.now, &mut || {
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z ^ (z >> 31)
        });
        self.query = Some(query);
        if let Some(update) = update {
            self.updates.push((self.now, update));
        }
        next
    }

    /// Lets `server` answer until `until`; it says how long each answer took.
    fn until(&mut self, until: Duration, mut server: impl FnMut(Ask, Duration) -> (Duration, Event<Set>)) {
        let mut next = self.step(Event::Woke);
        while self.now < until {
            next = match next {
                Next::Sleep(pause) => {
                    assert!(pause > Duration::ZERO, "a pause of nothing is a busy loop");
                    self.now += pause;
                    self.step(Event::Woke)
                }
                Next::Request(ask) => {
                    self.requests.push((self.now, ask));
                    let (took, event) = server(ask, self.now);
                    self.now += took;
                    self.step(event)
                }
            };
        }
    }

    fn last(&self) -> Option<&Set> {
        self.query.as_ref().and_then(Query::last)
    }
}

fn head(index: &str) -> AnswerHead {
    AnswerHead { index: Some(index.to_owned()), ..AnswerHead::default() }
}

fn answer(index: &str, set: &[u32]) -> Event<Set> {
    Event::Answered(head(index), set.to_vec())
}

fn asked(next: Next) -> Ask {
    match next {
        Next::Request(ask) => ask,
        Next::Sleep(pause) => panic!("wanted a request, got a pause of {pause:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn the_first_question_has_no_index_and_the_next_one_has_the_answers() {
    let mut run = Run::new(QuerySettings::default());
    assert_eq!(asked(run.step(Event::Woke)).index, 0);
    let ask = asked(run.step(answer("26", &[1])));
    assert_eq!((ask.index, ask.wait), (26, Duration::from_secs(30)));
    assert_eq!(run.updates, [(Duration::ZERO, Update::Changed(vec![1]))]);
}

#[test]
fn a_changed_index_with_an_equal_set_is_silence() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    assert_eq!(asked(run.step(answer("27", &[1]))).index, 27);
    assert_eq!(run.updates.len(), 1);
}

#[test]
fn an_equal_index_with_another_set_is_believed_because_a_restarted_server_may_reach_the_same_number() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    run.step(answer("26", &[2]));
    assert_eq!(run.last(), Some(&vec![2]));
}

#[test]
fn d8_an_index_that_goes_backwards_is_reset_and_reread_at_once_without_using_the_answer() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    assert_eq!(asked(run.step(answer("14", &[]))).index, 0);
    assert_eq!(run.updates.len(), 1);
    assert_eq!(asked(run.step(answer("15", &[2]))).index, 15);
    assert_eq!(run.last(), Some(&vec![2]));
}

#[test]
fn d8_a_query_let_go_early_without_news_is_followed_by_a_question_without_an_index() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    run.now += 5 * SECOND;
    assert_eq!(asked(run.step(answer("26", &[1]))).index, 0);
    assert_eq!(asked(run.step(answer("26", &[1]))).index, 26);
    run.now += 31 * SECOND;
    assert_eq!(asked(run.step(answer("26", &[1]))).index, 26);
}

#[test]
fn d9_an_index_of_0_missing_unreadable_or_too_large_is_1_and_never_a_busy_loop() {
    for bad in [Some("0"), None, Some("x"), Some("18446744073709551616"), Some("-1"), Some("")] {
        let mut run = Run::new(QuerySettings::default());
        run.until(60 * SECOND, |_, _| {
            let head = AnswerHead { index: bad.map(str::to_owned), ..AnswerHead::default() };
            (MILLI, Event::Answered(head, vec![1]))
        });
        assert!(run.requests.len() <= 65, "{bad:?}: {} requests in a minute", run.requests.len());
        assert!(run.requests.iter().skip(1).all(|(_, ask)| ask.index == 1));
        assert_eq!(run.updates.len(), 1);
    }
}

#[test]
fn d10_an_index_that_jumps_every_10_ms_is_followed_at_one_query_a_second_after_a_burst() {
    let mut run = Run::new(QuerySettings::default());
    run.until(60 * SECOND, |_, now| {
        let turn = now.as_millis() / 10;
        (10 * MILLI, answer(&(turn + 2).to_string(), &[u32::try_from(turn).unwrap_or(0)]))
    });
    assert!(run.updates.len() <= 65, "{} rebuilds in a minute", run.updates.len());
    let busiest = (0..60).map(|s| run.updates.iter().filter(|(at, _)| at.as_secs() == s).count()).max();
    assert!(busiest <= Some(10), "{busiest:?} rebuilds in one second");
}

#[test]
fn a_single_change_after_quiet_is_followed_without_a_pause() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    for index in 2..=5 {
        assert!(matches!(run.step(answer(&index.to_string(), &[index])), Next::Request(_)));
    }
}

#[test]
fn d12_a_leader_election_of_a_minute_costs_at_most_12_requests_and_says_lost_once() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    run.until(60 * SECOND, |_, _| (9 * SECOND, Event::Failed(Trouble::Status(500))));
    assert!(run.requests.len() <= 12, "{} requests", run.requests.len());
    assert_eq!(run.updates.iter().filter(|(_, u)| *u == Update::Lost).count(), 1);
    assert_eq!(run.last(), Some(&vec![1]));
}

#[test]
fn after_a_failure_the_first_question_has_no_index_and_an_equal_answer_says_regained() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    let next = run.step(Event::Failed(Trouble::Unreachable));
    assert!(matches!(next, Next::Sleep(pause) if pause >= 250 * MILLI));
    run.now += SECOND;
    assert_eq!(asked(run.step(Event::Woke)).index, 0);
    assert_eq!(asked(run.step(answer("14", &[1]))).index, 14);
    assert_eq!(run.updates.last().map(|(_, u)| u.clone()), Some(Update::Regained));
}

#[test]
fn d13_a_refused_token_keeps_the_answer_and_goes_on_asking() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    run.until(600 * SECOND, |_, _| (MILLI, Event::Failed(Trouble::Denied)));
    assert!(run.requests.len() > 50, "it gave up after {}", run.requests.len());
    assert!(run.requests.len() < 200, "it hammers: {}", run.requests.len());
    assert_eq!(run.last(), Some(&vec![1]));
}

#[test]
fn d15_a_429_waits_as_long_as_it_was_told_within_the_cap() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    let next = run.step(Event::Failed(Trouble::Throttled(Some(7 * SECOND))));
    assert!(matches!(next, Next::Sleep(pause) if pause == 7 * SECOND));
    let next = run.step(Event::Failed(Trouble::Throttled(Some(7000 * SECOND))));
    assert!(matches!(next, Next::Sleep(pause) if pause == 10 * SECOND));
}

#[test]
fn d16_d17_a_broken_or_oversized_answer_changes_nothing() {
    let mut run = Run::new(QuerySettings::default());
    run.step(Event::Woke);
    run.step(answer("26", &[1]));
    for trouble in [Trouble::Malformed, Trouble::TooLarge, Trouble::Timeout, Trouble::Unreachable] {
        run.step(Event::Failed(trouble));
    }
    assert_eq!(run.last(), Some(&vec![1]));
}

#[test]
fn d20_a_thousand_gateways_come_back_over_at_least_five_seconds_after_an_outage() {
    let back: Vec<Duration> = (0..1000)
        .map(|seed| {
            let mut run = Run::new(QuerySettings::default());
            run.seed = seed * 0x1234_5678_9abc;
            run.until(60 * SECOND, |_, now| {
                if now < 20 * SECOND {
                    (MILLI, Event::Failed(Trouble::Unreachable))
                } else {
                    (30 * SECOND, answer("3", &[1]))
                }
            });
            run.requests.iter().map(|(at, _)| *at).find(|at| *at >= 20 * SECOND).expect("it came back")
        })
        .collect();
    let (first, last) = (back.iter().min().expect("some"), back.iter().max().expect("some"));
    assert!(*last - *first >= 5 * SECOND, "spread only {:?}", *last - *first);
    let busiest = (0..200).map(|t| back.iter().filter(|at| at.as_millis() / 100 == 200 + t).count()).max();
    assert!(busiest < Some(100), "{busiest:?} of 1000 in one tenth of a second");
}

#[test]
fn a_follower_without_a_leader_is_not_believed_and_the_leader_is_asked_for_a_while() {
    let settings = QuerySettings { consistency: Consistency::Stale, ..QuerySettings::default() };
    let mut run = Run::new(settings);
    assert_eq!(asked(run.step(Event::Woke)).consistency, Consistency::Stale);
    let lost = AnswerHead { known_leader: Some(false), ..head("9") };
    let ask = asked(run.step(Event::Answered(lost, vec![])));
    assert_eq!((ask.consistency, ask.index), (Consistency::Default, 0));
    assert_eq!(run.updates, []);
    run.step(answer("10", &[1]));
    run.now += 61 * SECOND;
    assert_eq!(asked(run.step(answer("11", &[1]))).consistency, Consistency::Stale);
}

#[test]
fn a_follower_that_lags_too_far_is_not_believed() {
    let settings = QuerySettings { consistency: Consistency::Stale, ..QuerySettings::default() };
    let mut run = Run::new(settings);
    run.step(Event::Woke);
    let old = AnswerHead { last_contact: Some(11 * SECOND), ..head("9") };
    run.step(Event::Answered(old, vec![1]));
    assert_eq!(run.last(), None);
}

#[test]
fn a_streaming_answer_that_knows_no_leader_is_believed() {
    let settings = QuerySettings { consistency: Consistency::Stale, ..QuerySettings::default() };
    let mut run = Run::new(settings);
    run.step(Event::Woke);
    let streamed = AnswerHead { known_leader: Some(false), from_cache: true, ..head("9") };
    run.step(Event::Answered(streamed, vec![1]));
    assert_eq!(run.last(), Some(&vec![1]));
}

/// One thing a hostile or broken server may do.
#[derive(Debug, Clone)]
enum Deed {
    Answer { index: Option<String>, set: Set, known_leader: Option<bool>, lag_s: Option<u64> },
    Fail(Trouble),
}

fn deeds() -> impl Strategy<Value = Deed> {
    let index = prop_oneof![
        Just(None),
        Just(Some("0".to_owned())),
        Just(Some("junk".to_owned())),
        any::<u64>().prop_map(|index| Some(index.to_string())),
        (1_u64..20).prop_map(|index| Some(index.to_string())),
    ];
    let trouble = prop_oneof![
        Just(Trouble::Unreachable),
        Just(Trouble::Timeout),
        Just(Trouble::Denied),
        Just(Trouble::Token),
        (0_u64..100).prop_map(|s| Trouble::Throttled(Some(Duration::from_secs(s)))),
        Just(Trouble::Throttled(None)),
        (100_u16..600).prop_map(Trouble::Status),
        Just(Trouble::Malformed),
        Just(Trouble::TooLarge),
    ];
    prop_oneof![
        (index, prop::collection::vec(0_u32..4, 0..3), any::<Option<bool>>(), prop::option::of(0_u64..30))
            .prop_map(|(index, set, known_leader, lag_s)| Deed::Answer { index, set, known_leader, lag_s }),
        trouble.prop_map(Deed::Fail),
    ]
}

fn event(deed: &Deed) -> Event<Set> {
    match deed {
        Deed::Answer { index, set, known_leader, lag_s } => Event::Answered(
            AnswerHead {
                index: index.clone(),
                known_leader: *known_leader,
                last_contact: lag_s.map(Duration::from_secs),
                from_cache: false,
            },
            set.clone(),
        ),
        Deed::Fail(trouble) => Event::Failed(*trouble),
    }
}

proptest! {
    #[test]
    fn whatever_the_server_does_the_request_rate_is_bounded_and_a_sane_server_is_believed_in_the_end(
        deeds in prop::collection::vec((deeds(), 0_u64..2000), 1..60),
        stale in any::<bool>(),
        index in 1_u64..30,
        truth in prop::collection::vec(0_u32..4, 0..3),
    ) {
        let consistency = if stale { Consistency::Stale } else { Consistency::Default };
        let settings = QuerySettings { consistency, ..QuerySettings::default() };
        let mut run = Run::new(settings);
        let mut left = deeds.iter();
        let mut chaos = true;
        let mut sane = 0;
        run.until(Duration::from_secs(2000), |ask, _| match left.next() {
            Some((deed, took)) => (Duration::from_millis(*took), event(deed)),
            None => {
                chaos = false;
                sane += 1;
                let held = if ask.index >= index { ask.wait } else { MILLI };
                (held, answer(&index.to_string(), &truth))
            }
        });
        prop_assert!(!chaos, "2000 s were not enough for the chaos");
        prop_assert_eq!(run.last(), Some(&truth));
        prop_assert!(sane < 100, "a sane server is asked {} times", sane);
        for (position, (at, _)) in run.requests.iter().enumerate() {
            let soon = run.requests.iter().skip(position).take_while(|(then, _)| *then < *at + 10 * SECOND).count();
            prop_assert!(soon <= 15, "{} requests within 10 s", soon);
        }
    }

    #[test]
    fn nobody_is_told_twice_that_contact_is_lost_and_every_change_is_one(
        deeds in prop::collection::vec(deeds(), 1..60),
    ) {
        let mut run = Run::new(QuerySettings::default());
        let mut known: Option<Set> = None;
        let mut lost = false;
        for deed in &deeds {
            let told = run.updates.len();
            run.step(event(deed));
            run.now += SECOND;
            for (_, update) in run.updates.iter().skip(told) {
                match update {
                    Update::Changed(set) => {
                        prop_assert_ne!(known.as_ref(), Some(set));
                        known = Some(set.clone());
                        lost = false;
                    }
                    Update::Lost => {
                        prop_assert!(!lost);
                        lost = true;
                    }
                    Update::Regained => {
                        prop_assert!(lost);
                        lost = false;
                    }
                }
            }
        }
    }
}
