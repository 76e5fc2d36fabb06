//! The cell as a whole: picks, bounds, changes of the set, reloads, threads.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_discovery_model::{Endpoint, EndpointId, Health};
use proptest::prelude::*;

use super::*;
use crate::breaker::{BreakerState, Transitions};

const NOW: Moment = Moment::ORIGIN;
const LATER: Moment = Moment::from_nanos(10_000_000_000);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn endpoint(port: u16, weight: u16, health: Health) -> Endpoint {
    Endpoint { weight: NonZeroU16::new(weight).unwrap(), health, ..Endpoint::at(address(port)) }
}

fn passing(ports: impl IntoIterator<Item = u16>) -> EndpointSet {
    ports.into_iter().map(|port| endpoint(port, 1, Health::Passing)).collect()
}

fn tripping_at_once() -> BreakerSettings {
    BreakerSettings {
        failure_rate: None,
        window: NonZeroU32::MIN,
        consecutive: Some(NonZeroU32::MIN),
        open: Duration::from_secs(10),
        probes: NonZeroU32::MIN,
    }
}

fn cell(settings: CellSettings, set: &EndpointSet) -> UpstreamCell {
    let cell = UpstreamCell::new(settings);
    cell.replace(set, Freshness::Live);
    cell
}

fn both_balances() -> [CellSettings; 2] {
    [Balance::RoundRobin, Balance::LeastRequest].map(|balance| CellSettings { balance, ..Default::default() })
}

/// A fair sequence of numbers, the same in every run (a Weyl sequence by the golden ratio, mixed).
fn chance() -> impl FnMut() -> u64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (state ^ (state >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }
}

fn plain<'a>() -> Ask<'a> {
    Ask { now: NOW, breaker: None, tried: &[] }
}

fn guarded<'a>(now: Moment) -> Ask<'a> {
    Ask { now, breaker: Some(BreakerIdx(0)), tried: &[] }
}

fn spread(cell: &UpstreamCell, ask: &Ask<'_>, n_picks: usize) -> BTreeMap<u16, usize> {
    let mut rng = chance();
    let mut counts = BTreeMap::new();
    for _ in 0..n_picks {
        let lease = cell.pick(ask, &mut rng).unwrap();
        *counts.entry(lease.endpoint().address.port()).or_default() += 1;
    }
    counts
}

#[test]
fn a_cell_without_an_answer_has_no_endpoint() {
    let cell = UpstreamCell::new(CellSettings::default());
    assert_eq!(cell.pick(&plain(), &mut chance()).unwrap_err(), NoPick::NoEndpoint);
    assert!(!cell.has_answer());
    assert_eq!(cell.view(NOW).freshness, None);
}

#[test]
fn round_robin_follows_the_weights_exactly() {
    let set = [endpoint(1, 3, Health::Passing), endpoint(2, 1, Health::Warning)].into_iter().collect();
    let cell = cell(CellSettings::default(), &set);
    assert_eq!(spread(&cell, &plain(), 40), BTreeMap::from([(1, 30), (2, 10)]));
}

#[test]
fn critical_endpoints_are_never_picked() {
    for settings in both_balances() {
        let set = [endpoint(1, 9, Health::Critical), endpoint(2, 1, Health::Passing)].into_iter().collect();
        let cell = cell(settings, &set);
        assert_eq!(spread(&cell, &plain(), 20), BTreeMap::from([(2, 20)]));
        cell.replace(&[endpoint(1, 9, Health::Critical)].into_iter().collect(), Freshness::Live);
        assert_eq!(cell.pick(&plain(), &mut chance()).unwrap_err(), NoPick::NoEndpoint);
        assert_eq!(cell.view(NOW).endpoints.len(), 1, "but they are shown");
    }
}

#[test]
fn a_retry_goes_elsewhere_unless_there_is_no_elsewhere() {
    for settings in both_balances() {
        let cell = cell(settings, &passing(1..=3));
        let tried = [address(1), address(3)];
        let ask = Ask { tried: &tried, ..plain() };
        assert_eq!(spread(&cell, &ask, 10), BTreeMap::from([(2, 10)]));
        cell.replace(&passing([1, 3]), Freshness::Live);
        assert!(cell.pick(&ask, &mut chance()).is_ok());
    }
}

#[test]
fn the_bound_holds_and_a_finished_lease_makes_room() {
    let max = NonZeroU32::new(2).unwrap();
    let cell = cell(CellSettings { max_requests: Some(max), ..Default::default() }, &passing(1..=3));
    let mut rng = chance();
    let first = cell.pick(&plain(), &mut rng).unwrap();
    let second = cell.pick(&plain(), &mut rng).unwrap();
    assert_eq!(cell.pick(&plain(), &mut rng).unwrap_err(), NoPick::Overloaded { max });
    first.finish(Verdict::Success, NOW);
    assert!(cell.pick(&plain(), &mut rng).is_ok());
    drop(second);
    assert_eq!(cell.in_flight(), 0);
}

#[test]
fn a_failing_endpoint_trips_alone_while_the_upstream_stays_open() {
    let consecutive = NonZeroU32::new(2);
    let settings = CellSettings {
        breakers: vec![BreakerSettings { consecutive, ..tripping_at_once() }],
        ..Default::default()
    };
    let cell = cell(settings, &passing(1..=2));
    let mut rng = chance();
    for _ in 0..4 {
        let lease = cell.pick(&guarded(NOW), &mut rng).unwrap();
        let verdict = if lease.endpoint().address.port() == 1 { Verdict::Failure } else { Verdict::Success };
        lease.finish(verdict, NOW);
    }
    let states: Vec<_> = cell.view(NOW).endpoints.iter().map(|e| e.breakers[0].state).collect();
    assert_eq!(states, [BreakerState::Tripped, BreakerState::Passing]);
    assert_eq!(cell.view(NOW).breakers[0].state, BreakerState::Passing);
    assert_eq!(spread(&cell, &guarded(NOW), 10), BTreeMap::from([(2, 10)]));
    assert_eq!(
        spread(&cell, &plain(), 10),
        BTreeMap::from([(1, 5), (2, 5)]),
        "routes without a breaker go on"
    );
}

#[test]
fn all_that_was_in_flight_to_an_endpoint_that_dies_leaves_the_others_alone() {
    let consecutive = NonZeroU32::new(5);
    let breakers = vec![BreakerSettings { consecutive, ..tripping_at_once() }];
    let cell = cell(CellSettings { breakers, ..Default::default() }, &passing(1..=2));
    let mut rng = chance();
    let in_flight: Vec<_> = (0..20).map(|_| cell.pick(&guarded(NOW), &mut rng).unwrap()).collect();
    for lease in in_flight.into_iter().filter(|lease| lease.endpoint().address.port() == 1) {
        lease.finish(Verdict::Failure, NOW);
    }
    assert_eq!(cell.view(NOW).breakers[0].state, BreakerState::Passing);
    assert_eq!(spread(&cell, &guarded(NOW), 10), BTreeMap::from([(2, 10)]));
}

#[test]
fn a_tripped_upstream_says_when_to_come_back_and_recovers_by_a_probe() {
    let settings = CellSettings { breakers: vec![tripping_at_once()], ..Default::default() };
    let cell = cell(settings, &passing([1]));
    let mut rng = chance();
    cell.pick(&guarded(NOW), &mut rng).unwrap().finish(Verdict::Failure, NOW);
    let refused = cell.pick(&guarded(NOW), &mut rng).unwrap_err();
    assert_eq!(refused, NoPick::Tripped { retry_after: Duration::from_secs(10) });
    assert_eq!(cell.in_flight(), 0, "a refusal counts nothing");
    cell.pick(&guarded(LATER), &mut rng).unwrap().finish(Verdict::Success, LATER);
    let endpoint = &cell.view(LATER).endpoints[0];
    assert_eq!(endpoint.breakers[0].transitions, Transitions { passing: 1, tripped: 1, probing: 1 });
    assert!(cell.pick(&guarded(LATER), &mut rng).is_ok());
}

#[test]
fn a_probe_that_finds_no_endpoint_is_given_back() {
    let settings = CellSettings { breakers: vec![tripping_at_once()], ..Default::default() };
    let cell = cell(settings, &passing([1]));
    let mut rng = chance();
    cell.pick(&guarded(NOW), &mut rng).unwrap().finish(Verdict::Failure, NOW);
    cell.endpoints()[0].set_draining(true);
    assert_eq!(cell.pick(&guarded(LATER), &mut rng).unwrap_err(), NoPick::NoEndpoint);
    cell.endpoints()[0].set_draining(false);
    assert!(cell.pick(&guarded(LATER), &mut rng).is_ok());
}

#[test]
fn a_reported_lease_still_counts_as_in_flight() {
    let settings = CellSettings { breakers: vec![tripping_at_once()], ..Default::default() };
    let cell = cell(settings, &passing([1]));
    let mut lease = cell.pick(&guarded(NOW), &mut chance()).unwrap();
    lease.report(Verdict::Failure, NOW);
    assert_eq!((cell.in_flight(), cell.view(NOW).breakers[0].state), (1, BreakerState::Tripped));
    drop(lease);
    assert_eq!(cell.in_flight(), 0);
}

#[test]
fn a_draining_endpoint_gets_nothing_new_and_stays_so_over_changes() {
    for settings in both_balances() {
        let cell = cell(settings.clone(), &passing(1..=2));
        cell.endpoints()[0].set_draining(true);
        assert_eq!(spread(&cell, &plain(), 10), BTreeMap::from([(2, 10)]));
        let heavier =
            [endpoint(1, 7, Health::Passing), endpoint(2, 1, Health::Passing)].into_iter().collect();
        cell.replace(&heavier, Freshness::Live);
        let next = UpstreamCell::carry(&cell, CellSettings { max_requests: NonZeroU32::new(9), ..settings });
        assert_eq!(spread(&next, &plain(), 10), BTreeMap::from([(2, 10)]));
    }
}

#[test]
fn endpoints_that_stay_keep_their_state_and_those_that_go_keep_their_leases() {
    let settings = CellSettings { breakers: vec![tripping_at_once()], ..Default::default() };
    let cell = cell(settings, &passing(1..=2));
    let mut rng = chance();
    let held: Vec<_> = (0..2).map(|_| cell.pick(&plain(), &mut rng).unwrap()).collect();
    cell.replace(&[endpoint(2, 5, Health::Warning)].into_iter().collect(), Freshness::Live);
    let view = cell.view(NOW);
    assert_eq!((view.in_flight, view.endpoints[0].in_flight, view.endpoints[0].picks), (2, 1, 1));
    assert_eq!(view.endpoints[0].endpoint.weight.get(), 5);
    held.into_iter().for_each(|lease| lease.finish(Verdict::Success, NOW));
    assert_eq!((cell.in_flight(), cell.view(NOW).endpoints[0].in_flight), (0, 0));
}

#[test]
fn the_same_id_at_another_port_is_another_endpoint() {
    let cell = cell(CellSettings::default(), &passing([1]));
    let lease = cell.pick(&plain(), &mut chance()).unwrap();
    let moved = Endpoint { id: EndpointId::of_address(address(1)), ..endpoint(2, 1, Health::Passing) };
    cell.replace(&[moved].into_iter().collect(), Freshness::Live);
    assert_eq!(cell.view(NOW).endpoints[0].in_flight, 0);
    drop(lease);
    assert_eq!(cell.in_flight(), 0);
}

#[test]
fn a_reload_forgets_no_breaker_count_or_endpoint() {
    let kept = tripping_at_once();
    let other = BreakerSettings { open: Duration::from_secs(3), ..kept.clone() };
    let old = cell(CellSettings { breakers: vec![kept.clone()], ..Default::default() }, &passing([1]));
    let mut rng = chance();
    let held = old.pick(&plain(), &mut rng).unwrap();
    old.pick(&guarded(NOW), &mut rng).unwrap().finish(Verdict::Failure, NOW);

    let new = UpstreamCell::carry(&old, CellSettings { breakers: vec![other, kept], ..Default::default() });
    let view = new.view(NOW);
    let states = |breakers: &[BreakerView]| breakers.iter().map(|b| b.state).collect::<Vec<_>>();
    assert_eq!(states(&view.breakers), [BreakerState::Passing, BreakerState::Tripped]);
    assert_eq!(states(&view.endpoints[0].breakers), [BreakerState::Passing, BreakerState::Tripped]);
    assert_eq!((view.in_flight, view.freshness), (1, Some(Freshness::Live)));
    drop(held);
    assert_eq!((new.in_flight(), old.in_flight()), (0, 0));
}

#[test]
fn an_unknown_breaker_is_no_breaker() {
    let cell = cell(CellSettings::default(), &passing([1]));
    assert!(cell.pick(&guarded(NOW), &mut chance()).is_ok());
}

#[test]
fn picks_and_replaces_from_many_threads_leave_nothing_in_flight() {
    for settings in both_balances() {
        let max_requests = NonZeroU32::new(3);
        let breakers = vec![tripping_at_once()];
        let cell = cell(CellSettings { max_requests, breakers, ..settings }, &passing(1..=8));
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for thread in 0..3_u64 {
                let (cell, over) = (&cell, &over);
                threads.spawn(move || {
                    let mut rng = chance();
                    for turn in 0..4_000 {
                        let ask = if turn % 3 == 0 { guarded(LATER) } else { plain() };
                        let Ok(lease) = cell.pick(&ask, &mut rng) else { continue };
                        assert!(cell.in_flight() <= 3);
                        match (turn + thread) % 4 {
                            0 => lease.finish(Verdict::Failure, NOW),
                            1 => drop(lease),
                            _ => lease.finish(Verdict::Success, LATER),
                        }
                    }
                    over.store(true, Ordering::Release);
                });
            }
            threads.spawn(|| {
                for round in 0_u16.. {
                    cell.replace(&passing((round % 7)..=8), Freshness::Live);
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        });
        assert_eq!(cell.in_flight(), 0);
        assert!(cell.view(NOW).endpoints.iter().all(|e| e.in_flight == 0));
    }
}

fn sets() -> impl Strategy<Value = EndpointSet> {
    let health =
        prop_oneof![3 => Just(Health::Passing), 1 => Just(Health::Warning), 1 => Just(Health::Critical)];
    proptest::collection::vec((1_u16..30, 1_u16..9, health), 0..20).prop_map(|all| {
        all.into_iter().map(|(port, weight, health)| endpoint(port, weight, health)).collect()
    })
}

proptest! {
    #[test]
    fn only_endpoints_of_the_present_set_are_picked(
        sets in proptest::collection::vec(sets(), 1..8),
        least_request in any::<bool>(),
        tried in proptest::collection::vec((1_u16..30).prop_map(address), 0..4),
    ) {
        let balance = if least_request { Balance::LeastRequest } else { Balance::RoundRobin };
        let cell = UpstreamCell::new(CellSettings { balance, ..Default::default() });
        let mut rng = chance();
        for set in sets {
            cell.replace(&set, Freshness::Live);
            let open: Vec<_> = set.iter().filter(|e| e.health != Health::Critical).collect();
            let fresh = open.iter().any(|e| !tried.contains(&e.address));
            for _ in 0..30 {
                match cell.pick(&Ask { tried: &tried, ..plain() }, &mut rng) {
                    Ok(lease) => {
                        prop_assert!(open.contains(&lease.endpoint()));
                        prop_assert!(!fresh || !tried.contains(&lease.endpoint().address));
                    }
                    Err(none) => prop_assert!(open.is_empty() && none == NoPick::NoEndpoint),
                }
            }
        }
    }
}

#[test]
fn a_reset_opens_the_breakers_of_the_upstream_and_of_its_endpoints() {
    // A rate, for failures in a row are an endpoint's alone.
    let (failure_rate, window) = (Some(0.5), NonZeroU32::new(2).unwrap());
    let breakers = vec![BreakerSettings { failure_rate, window, ..tripping_at_once() }];
    let settings = CellSettings { breakers, ..Default::default() };
    let cell = cell(settings, &passing([1, 2]));
    let ask = Ask { now: NOW, breaker: Some(BreakerIdx(0)), tried: &[] };
    cell.pick(&ask, &mut chance()).unwrap().finish(Verdict::Failure, NOW);
    assert!(matches!(cell.pick(&ask, &mut chance()), Err(NoPick::Tripped { .. })));
    // The upstream's own, and that of the endpoint that failed.
    assert_eq!(cell.reset_breakers(), 2);
    assert!(cell.pick(&ask, &mut chance()).is_ok());
    assert_eq!(cell.reset_breakers(), 0);
}
