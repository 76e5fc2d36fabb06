//! One contract, two servers: what the Consul client relies on holds on the embedded registry and on a real Consul
//! agent. Where they differ, Consul is right.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure is what a test is for")]

#[path = "contract/api.rs"]
mod api;
#[path = "contract/subject.rs"]
mod subject;
#[path = "contract/watched.rs"]
mod watched;

use std::future::Future;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::future::join_all;
use subject::Subject;

#[tokio::test]
async fn the_embedded_registry_keeps_the_contract() {
    run(Subject::embedded().await).await;
}

#[tokio::test]
async fn a_real_consul_agent_keeps_the_contract() {
    match Subject::consul().await {
        Some(subject) => run(subject).await,
        // Written past the test harness, which would keep the output of a passing test to itself.
        None => writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: no Consul here. Set PORTCULLIS_CONSUL to a consul 1.22 binary, or run ./run setup ***\n"
        )
        .unwrap(),
    }
}

type Case<'a> = (&'static str, Pin<Box<dyn Future<Output = ()> + 'a>>);

macro_rules! cases {
    ($subject:expr; $($module:ident :: $case:ident),* $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($case)), Box::pin($module::$case($subject)) as _)),*]
    };
}

async fn run(subject: Subject) {
    let cases: Vec<Case<'_>> = cases![&subject;
        api::a_blocking_query_returns_when_its_service_changes,
        api::a_blocking_query_without_news_returns_after_its_wait_with_the_same_index,
        api::an_unknown_service_is_an_empty_list_with_an_index,
        api::indexes_of_a_service_never_go_back,
        api::an_index_or_wait_that_cannot_be_read_is_refused,
        api::passing_leaves_out_what_warns_or_is_critical,
        api::a_ttl_check_that_is_not_updated_becomes_critical,
        api::a_check_is_updated_with_its_output,
        api::what_is_unknown_is_not_found,
        api::a_registration_that_makes_no_sense_is_refused,
        api::the_catalog_lists_services_with_their_tags,
        api::checks_are_listed_by_their_state,
        api::keys_are_kept_compared_and_deleted,
        api::a_key_can_be_waited_for,
        api::the_server_has_a_leader,
        watched::registering_and_deregistering_is_seen,
        watched::health_follows_the_checks,
        watched::maintenance_is_critical_until_it_ends,
        watched::weights_tags_meta_and_datacenter_arrive,
        watched::a_tag_filters,
        watched::an_instance_without_an_address_has_its_nodes,
        watched::the_same_id_on_a_new_port_replaces_the_old,
        watched::more_services_than_connections_are_all_followed,
    ];
    let results = join_all(cases.into_iter().map(|(name, case)| async move {
        AssertUnwindSafe(case).catch_unwind().await.err().map(|_panic| name)
    }));
    let failed: Vec<&str> = results.await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "these cases failed on {}: {failed:#?}", subject.url);
    watched::a_restart_that_forgets_everything_is_survived(subject).await.stop().await;
}
