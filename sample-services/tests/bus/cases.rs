//! The cases. Each has kinds and services of its own, so that they run at once on one broker.

use std::sync::Arc;

use portcullis_sample_services::events::{BusError, Event, Subscription};
use tokio::sync::watch;

use super::listener::{Listener, Mood};
use super::subject::{Subject, event, publish, until};

/// Events published across the death of a broker.
const UNDER_FIRE: i64 = 300;
/// Keys that they belong to.
const KEYS_UNDER_FIRE: i64 = 5;

pub(crate) async fn events_arrive_in_the_order_of_their_key(subject: &Subject) {
    const WANTED: Subscription =
        Subscription { service: "t-order", kinds: &["order-a.happened", "order-b.happened"] };
    let listener = Listener::start(subject.bus(), WANTED, Mood::Willing);
    let bus = subject.bus();
    let mut published: Vec<Event> = Vec::new();
    for n in 0..100 {
        let kind = if n % 3 == 0 { "order-a.happened" } else { "order-b.happened" };
        published.push(event(kind, &format!("k{}", n % 7), n));
    }
    for event in &published {
        publish(&*bus, event).await;
    }
    until("all events", || listener.ear.heard().len() == published.len()).await;
    for key in 0..7 {
        let expected: Vec<i64> = (0..100).filter(|n| n % 7 == key).collect();
        assert_eq!(listener.ear.numbers(&format!("k{key}")), expected);
    }
    let ear = listener.stop().await;
    assert!(published.iter().all(|event| ear.heard().contains(event)), "events arrive as they were sent");
}

pub(crate) async fn what_the_handler_refuses_comes_again_before_what_follows(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-refuse", kinds: &["refuse.happened"] };
    let listener = Listener::start(subject.bus(), WANTED, Mood::Reluctant);
    let bus = subject.bus();
    for n in 0..20 {
        publish(&*bus, &event("refuse.happened", "k", n)).await;
    }
    until("all events", || listener.ear.heard().len() == 20).await;
    assert_eq!(listener.stop().await.numbers("k"), (0..20).collect::<Vec<_>>());
}

pub(crate) async fn what_was_not_dealt_with_comes_to_the_next_consumer(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-again", kinds: &["again.happened"] };
    let first = Listener::start(subject.bus(), WANTED, Mood::Unwilling);
    let (bus, stuck) = (subject.bus(), event("again.happened", "k", 1));
    publish(&*bus, &stuck).await;
    publish(&*bus, &event("again.happened", "k", 2)).await;
    until("the first consumer to refuse", || first.ear.has_refused(&stuck)).await;
    assert!(first.stop().await.heard().is_empty());
    let second = Listener::start(subject.bus(), WANTED, Mood::Willing);
    until("the second consumer to take both", || second.ear.heard().len() == 2).await;
    assert_eq!(second.stop().await.numbers("k"), [1, 2]);
}

pub(crate) async fn what_was_published_while_the_consumer_was_away_is_waiting_for_it(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-late", kinds: &["late.happened"] };
    let before = Listener::start(subject.bus(), WANTED, Mood::Willing);
    let bus = subject.bus();
    publish(&*bus, &event("late.happened", "k", 0)).await;
    until("the first event", || before.ear.heard().len() == 1).await;
    before.stop().await;
    for n in 1..10 {
        publish(&*bus, &event("late.happened", "k", n)).await;
    }
    let after = Listener::start(subject.bus(), WANTED, Mood::Willing);
    until("the events of the meantime", || after.ear.numbers("k").ends_with(&[9])).await;
    assert_eq!(
        after.stop().await.numbers("k"),
        (1..10).collect::<Vec<_>>(),
        "what was dealt with is forgotten"
    );
}

pub(crate) async fn every_service_gets_every_event(subject: &Subject) {
    const ONE: Subscription = Subscription { service: "t-both-1", kinds: &["both.happened"] };
    const OTHER: Subscription = Subscription { service: "t-both-2", kinds: &["both.happened"] };
    let one = Listener::start(subject.bus(), ONE, Mood::Willing);
    let other = Listener::start(subject.bus(), OTHER, Mood::Willing);
    let bus = subject.bus();
    // Both are there once each has heard one event of this kind.
    let mut n = 0;
    while one.ear.heard().is_empty() || other.ear.heard().is_empty() {
        assert!(n < 2_000, "both services subscribe");
        publish(&*bus, &event("both.happened", "hello", n)).await;
        n += 1;
    }
    for n in 0..20 {
        publish(&*bus, &event("both.happened", "k", n)).await;
    }
    for listener in [one, other] {
        until("all events", || listener.ear.numbers("k").len() == 20).await;
        assert_eq!(listener.stop().await.numbers("k"), (0..20).collect::<Vec<_>>());
    }
}

pub(crate) async fn instances_of_a_service_share_its_events(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-share", kinds: &["share.happened"] };
    let instances = [(); 2].map(|()| Listener::start(subject.bus(), WANTED, Mood::Willing));
    let bus = subject.bus();
    for n in 0..60 {
        publish(&*bus, &event("share.happened", &format!("k{}", n % 6), n)).await;
    }
    let heard = || instances.iter().flat_map(|instance| instance.ear.heard()).collect::<Vec<_>>();
    until("all events at one instance or the other", || {
        let mut numbers: Vec<i64> = heard().iter().map(|event| event.at_ms).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == 60
    })
    .await;
    // One goes; the other gets what is published from now on.
    let [stays, goes] = instances;
    goes.stop().await;
    for n in 60..66 {
        publish(&*bus, &event("share.happened", &format!("k{}", n % 6), n)).await;
    }
    until("the rest at the one that stays", || {
        (60..66).all(|n| stays.ear.numbers(&format!("k{}", n % 6)).contains(&n))
    })
    .await;
    stays.stop().await;
}

pub(crate) async fn an_event_of_another_kind_is_not_handed_in(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-kind-1", kinds: &["kind-1.happened"] };
    const OTHER: Subscription = Subscription { service: "t-kind-2", kinds: &["kind-2.happened"] };
    let wanted = Listener::start(subject.bus(), WANTED, Mood::Willing);
    let other = Listener::start(subject.bus(), OTHER, Mood::Willing);
    let bus = subject.bus();
    for n in 0..10 {
        publish(&*bus, &event("kind-1.happened", "k", n)).await;
        publish(&*bus, &event("kind-2.happened", "k", 100 + n)).await;
    }
    until("both kinds", || wanted.ear.heard().len() >= 10 && other.ear.heard().len() >= 10).await;
    assert_eq!(wanted.stop().await.numbers("k"), (0..10).collect::<Vec<_>>());
    assert_eq!(other.stop().await.numbers("k"), (100..110).collect::<Vec<_>>());
}

/// RabbitMQ keeps an event for those who have subscribed: with nobody there it would be gone.
pub(crate) async fn an_event_that_nobody_wants_is_not_taken(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-nobody", kinds: &["nobody.happened"] };
    let (bus, unwanted) = (subject.bus(), event("nobody.happened", "k", 1));
    let refused = bus.publish(&unwanted).await;
    assert_eq!(refused, Err(BusError::NobodyWants("nobody.happened".to_owned())));
    let listener = Listener::start(subject.bus(), WANTED, Mood::Willing);
    publish(&*bus, &unwanted).await;
    until("the event", || listener.ear.heard() == std::slice::from_ref(&unwanted)).await;
    listener.stop().await;
}

/// Kafka keeps every event: whoever comes reads from the beginning.
pub(crate) async fn an_event_that_nobody_wants_yet_is_kept(subject: &Subject) {
    const WANTED: Subscription = Subscription { service: "t-nobody", kinds: &["nobody.happened"] };
    let (bus, early) = (subject.bus(), event("nobody.happened", "k", 1));
    publish(&*bus, &early).await;
    let listener = Listener::start(subject.bus(), WANTED, Mood::Willing);
    until("the event", || listener.ear.heard() == std::slice::from_ref(&early)).await;
    listener.stop().await;
}

pub(crate) async fn nothing_that_was_confirmed_is_lost_when_the_broker_is_killed(subject: &mut Subject) {
    const WANTED: Subscription = Subscription { service: "t-fire", kinds: &["fire.happened"] };
    let listener = Listener::start(subject.bus(), WANTED, Mood::Willing);
    let (bus, (progress, mut seen)) = (subject.bus(), watch::channel(0));
    publish(&*bus, &event("fire.happened", "first", 0)).await;
    until("the first event", || listener.ear.numbers("first") == [0]).await;
    subject.remembers(WANTED.service).await;
    #[expect(clippy::disallowed_methods, reason = "it is awaited below")]
    let publisher = tokio::spawn(async move {
        for n in 0..UNDER_FIRE {
            publish(&*bus, &event("fire.happened", &format!("k{}", n % KEYS_UNDER_FIRE), n)).await;
            progress.send_replace(n);
        }
    });
    for kill_at in [UNDER_FIRE / 4, UNDER_FIRE / 2] {
        seen.wait_for(|n| *n >= kill_at).await.unwrap();
        subject.kill_and_restart().await;
    }
    publisher.await.unwrap();
    let ear = Arc::clone(&listener.ear);
    // Counted by key: the first event was heard too.
    let heard = || (0..KEYS_UNDER_FIRE).map(|key| ear.numbers(&format!("k{key}")).len()).sum::<usize>();
    until("every event that was confirmed", || heard() >= usize::try_from(UNDER_FIRE).unwrap()).await;
    for key in 0..KEYS_UNDER_FIRE {
        let expected: Vec<i64> = (0..UNDER_FIRE).filter(|n| n % KEYS_UNDER_FIRE == key).collect();
        assert_eq!(ear.numbers(&format!("k{key}")), expected, "in the order of the key, whatever happened");
    }
    listener.stop().await;
}
