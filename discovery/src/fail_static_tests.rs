//! The brake, case by case, and under random answers.

use super::*;
use crate::samples::{endpoint, set};
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ports(set: &EndpointSet) -> Vec<u16> {
    set.iter().map(|endpoint| endpoint.address.port()).collect()
}

fn shown(brake: &Brake) -> Vec<u16> {
    brake.shown().map(ports).unwrap_or_default()
}

fn full() -> Brake {
    let mut brake = Brake::new(BrakeSettings::default());
    assert_eq!(brake.offer(&set(&[1, 2, 3, 4]), at(0)).as_ref().map(ports), Some(vec![1, 2, 3, 4]));
    brake
}

#[test]
fn a_first_answer_is_believed_even_when_it_is_empty() {
    let mut brake = Brake::new(BrakeSettings::default());
    assert_eq!(brake.offer(&EndpointSet::default(), at(0)), Some(EndpointSet::default()));
    assert_eq!(brake.deadline(), None);
}

#[test]
fn d4_d14_an_empty_answer_after_a_full_one_is_held_and_ends_when_the_services_are_back() {
    let mut brake = full();
    assert_eq!(brake.offer(&EndpointSet::default(), at(10)), None);
    assert_eq!(brake.held_since(), Some(at(10)));
    assert_eq!(brake.tick(at(39)), None);
    assert_eq!(brake.offer(&set(&[1, 2, 3, 4]), at(39)), None);
    assert_eq!((brake.held_since(), brake.deadline()), (None, None));
}

#[test]
fn d5_scale_to_zero_is_applied_when_the_grace_is_over() {
    let mut brake = full();
    let _ = brake.offer(&EndpointSet::default(), at(10));
    assert_eq!(brake.deadline(), Some(at(10) + GRACE));
    assert_eq!(brake.tick(at(40)), Some(EndpointSet::default()));
    assert_eq!(brake.held_since(), None);
}

#[test]
fn d6_more_than_half_gone_at_once_is_held_but_half_or_less_is_believed() {
    let mut brake = full();
    assert_eq!(brake.offer(&set(&[1, 2]), at(1)).as_ref().map(ports), Some(vec![1, 2]));
    let mut brake = full();
    assert_eq!(brake.offer(&set(&[1]), at(1)), None);
    assert_eq!(shown(&brake), [1, 2, 3, 4]);
    assert_eq!(brake.tick(at(31)).as_ref().map(ports), Some(vec![1]));
}

#[test]
fn while_a_loss_is_held_additions_and_health_pass_at_once() {
    let mut brake = full();
    let _ = brake.offer(&set(&[1]), at(1));
    let critical = Endpoint { health: Health::Critical, ..endpoint(1) };
    let told = brake.offer(&EndpointSet::new(vec![critical]), at(5)).expect("a change");
    assert_eq!(ports(&told), [1, 2, 3, 4]);
    assert!(told.iter().any(|e| e.address.port() == 1 && e.health == Health::Critical));
    let mut brake = Brake::restored(BrakeSettings::default(), set(&[1, 2, 3, 4, 5, 6]));
    let _ = brake.offer(&set(&[1]), at(1));
    let told = brake.offer(&set(&[1, 9]), at(5)).expect("a change");
    assert_eq!(ports(&told), [1, 2, 3, 4, 5, 6, 9]);
    assert_eq!(brake.held_since(), Some(at(1)), "the doubt is as old as the loss");
}

#[test]
fn new_instances_in_the_place_of_old_ones_are_a_deployment_and_believed_at_once() {
    let mut brake = full();
    assert_eq!(brake.offer(&set(&[5, 6, 7, 8]), at(1)).as_ref().map(ports), Some(vec![5, 6, 7, 8]));
    let mut brake = Brake::restored(BrakeSettings::default(), set(&[1]));
    assert_eq!(brake.offer(&set(&[2]), at(1)).as_ref().map(ports), Some(vec![2]));
}

#[test]
fn a_held_loss_ends_when_enough_others_have_come() {
    let mut brake = full();
    let _ = brake.offer(&EndpointSet::default(), at(1));
    let _ = brake.offer(&set(&[11]), at(2));
    assert_eq!(shown(&brake), [1, 2, 3, 4, 11]);
    let _ = brake.offer(&set(&[11, 12]), at(3));
    assert_eq!((shown(&brake), brake.held_since()), (vec![11, 12], None));
}

#[test]
fn what_was_critical_already_goes_without_a_brake() {
    let dead = |port| Endpoint { health: Health::Critical, ..endpoint(port) };
    let mut brake = Brake::new(BrakeSettings::default());
    let _ = brake.offer(&EndpointSet::new(vec![dead(1), dead(2)]), at(0));
    assert_eq!(brake.offer(&EndpointSet::default(), at(1)), Some(EndpointSet::default()));
}

#[test]
fn d21_the_same_id_on_a_new_port_is_no_loss() {
    let mut brake = Brake::new(BrakeSettings::default());
    let _ = brake.offer(&set(&[1]), at(0));
    let moved = Endpoint { address: endpoint(2).address, ..endpoint(1) };
    let told = brake.offer(&EndpointSet::new(vec![moved]), at(1)).expect("a change");
    assert_eq!(ports(&told), [2]);
}

#[test]
fn d1_without_contact_nothing_is_believed_and_back_in_contact_a_doubt_gets_a_new_grace() {
    let mut brake = full();
    let _ = brake.offer(&EndpointSet::default(), at(10));
    brake.lost_contact();
    assert_eq!((brake.deadline(), brake.tick(at(600))), (None, None));
    brake.regained_contact(at(600));
    assert_eq!(brake.deadline(), Some(at(600) + GRACE));
    assert_eq!(shown(&brake), [1, 2, 3, 4]);
}

#[test]
fn another_thin_answer_after_an_outage_gets_a_new_grace_too() {
    let mut brake = full();
    let _ = brake.offer(&EndpointSet::default(), at(10));
    brake.lost_contact();
    let _ = brake.offer(&set(&[1]), at(600));
    assert_eq!(brake.deadline(), Some(at(600) + GRACE));
    assert_eq!(shown(&brake), [1, 2, 3, 4]);
}

#[test]
fn d2_a_restored_set_is_shown_and_an_empty_first_answer_is_doubted() {
    let mut brake = Brake::restored(BrakeSettings::default(), set(&[1, 2]));
    assert_eq!(shown(&brake), [1, 2]);
    assert_eq!(brake.offer(&EndpointSet::default(), at(0)), None);
    assert_eq!(brake.deadline(), Some(GRACE));
}

#[test]
fn keep_never_believes_a_loss_and_trust_believes_at_once() {
    let mut keep =
        Brake::restored(BrakeSettings { policy: LossPolicy::Keep, ..BrakeSettings::default() }, set(&[1, 2]));
    let _ = keep.offer(&EndpointSet::default(), at(0));
    assert_eq!((keep.tick(at(100_000)), keep.deadline()), (None, None));
    let mut trust = Brake::restored(
        BrakeSettings { policy: LossPolicy::Trust, ..BrakeSettings::default() },
        set(&[1, 2]),
    );
    assert_eq!(trust.offer(&EndpointSet::default(), at(0)), Some(EndpointSet::default()));
}

#[test]
fn a_grace_of_nothing_is_settled_with_the_answer() {
    let settings = BrakeSettings { policy: LossPolicy::Grace(Duration::ZERO), ..BrakeSettings::default() };
    let mut brake = Brake::restored(settings, set(&[1, 2]));
    assert_eq!(brake.offer(&EndpointSet::default(), at(3)), Some(EndpointSet::default()));
}

proptest! {
    #[test]
    fn a_lasting_answer_is_always_shown_in_the_end_and_nothing_named_is_ever_hidden(
        answers in prop::collection::vec((prop::collection::btree_set(1_u16..8, 0..6), 0_u64..40, 0_u8..4), 1..40),
    ) {
        let mut brake = Brake::new(BrakeSettings::default());
        let mut now = Duration::ZERO;
        let mut truth = None;
        for (ports, pause, deed) in answers {
            now += Duration::from_secs(pause);
            let _ = brake.tick(now);
            match deed {
                0 => brake.lost_contact(),
                1 => brake.regained_contact(now),
                _ => {
                    let answer = set(&ports.into_iter().collect::<Vec<_>>());
                    let _ = brake.offer(&answer, now);
                    truth = Some(answer);
                }
            }
            if let (Some(truth), Some(shown)) = (&truth, brake.shown()) {
                prop_assert!(truth.iter().all(|named| shown.iter().any(|e| e == named)));
            }
        }
        if let Some(truth) = truth {
            let _ = brake.offer(&truth, now);
            let _ = brake.tick(now + GRACE);
            prop_assert_eq!(brake.shown(), Some(&truth));
        }
    }
}
