//! One contract, every broker: what the services rely on holds on RabbitMQ and on Kafka, and while the
//! broker is killed under them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure is what a test is for")]

#[path = "bus/cases.rs"]
mod cases;
#[path = "bus/listener.rs"]
mod listener;
#[path = "bus/subject.rs"]
mod subject;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::future::join_all;
use portcullis_brokers::Kind;
use subject::Subject;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_the_contract() {
    let Some(mut subject) = Subject::start(Kind::RabbitMq).await else { return };
    run(&subject).await;
    cases::an_event_that_nobody_wants_is_not_taken(&subject).await;
    cases::nothing_that_was_confirmed_is_lost_when_the_broker_is_killed(&mut subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_the_contract() {
    let Some(mut subject) = Subject::start(Kind::Kafka).await else { return };
    run(&subject).await;
    cases::an_event_that_nobody_wants_yet_is_kept(&subject).await;
    cases::nothing_that_was_confirmed_is_lost_when_the_broker_is_killed(&mut subject).await;
}

type Case<'a> = (&'static str, Pin<Box<dyn Future<Output = ()> + 'a>>);

macro_rules! cases {
    ($subject:expr; $($case:ident),* $(,)?) => {
        vec![$((stringify!($case), Box::pin(cases::$case($subject)) as _)),*]
    };
}

/// All cases at once, on one broker: each has kinds and services of its own.
async fn run(subject: &Subject) {
    let cases: Vec<Case<'_>> = cases![subject;
        events_arrive_in_the_order_of_their_key,
        what_the_handler_refuses_comes_again_before_what_follows,
        what_was_not_dealt_with_comes_to_the_next_consumer,
        what_was_published_while_the_consumer_was_away_is_waiting_for_it,
        every_service_gets_every_event,
        instances_of_a_service_share_its_events,
        an_event_of_another_kind_is_not_handed_in,
    ];
    let results = join_all(cases.into_iter().map(|(name, case)| async move {
        AssertUnwindSafe(case).catch_unwind().await.err().map(|_panic| name)
    }));
    let failed: Vec<&str> = results.await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "these cases failed on {}: {failed:#?}", subject.name());
}
