use portcullis_consul_wire::{CheckStatus, HealthServiceEntry};
use proptest::prelude::*;

use super::*;
use crate::limits::{DEREGISTER_AFTER_MIN, VALUE_BYTES_MAX};

const ZERO: Duration = Duration::ZERO;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn store() -> Store {
    Store::new(Node {
        id: "00000000-0000-4000-8000-000000000000".into(),
        name: "n1".into(),
        address: "127.0.0.1".into(),
        datacenter: "dc1".into(),
    })
}

fn service(name: &str, id: &str, checks: Vec<AgentCheckDefinition>) -> Command {
    let registration =
        AgentServiceRegistration { id: id.into(), name: name.into(), port: 80, checks, ..Default::default() };
    Command::RegisterService { registration: Box::new(registration), replace_existing_checks: false }
}

fn ttl(after: u64) -> AgentCheckDefinition {
    AgentCheckDefinition { ttl: Some(secs(after).into()), ..Default::default() }
}

fn report(id: &str, status: CheckStatus) -> Command {
    Command::Report { id: id.into(), status, output: String::new() }
}

fn put(key: &str, value: &str, condition: KvCondition) -> Command {
    Command::Put(KvWrite { key: key.into(), value: value.into(), flags: 0, condition })
}

fn apply(store: &mut Store, command: Command, now: Duration) -> Changes {
    store.apply(command, now).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn entries(store: &Store, name: &str) -> Vec<HealthServiceEntry> {
    let view = store.view(&Query::HealthService(name.into(), Filter::default()));
    let View::Entries(entries) = view else { panic!("{view:?}") };
    entries
}

fn status(store: &Store, name: &str) -> CheckStatus {
    entries(store, name).first().map(HealthServiceEntry::status).unwrap()
}

#[test]
fn a_ttl_check_is_critical_until_reported_and_again_when_silent() {
    let mut store = store();
    apply(&mut store, service("web", "w1", vec![ttl(10)]), ZERO);
    assert_eq!(status(&store, "web"), CheckStatus::Critical);
    apply(&mut store, report("service:w1", CheckStatus::Passing), secs(5));
    assert_eq!(status(&store, "web"), CheckStatus::Passing);
    assert_eq!(store.next_deadline(), Some(secs(15)));
    apply(&mut store, Command::Expire, secs(14));
    assert_eq!(status(&store, "web"), CheckStatus::Passing);
    let before = store.index_of(&Query::HealthChecks("web".into()));
    apply(&mut store, Command::Expire, secs(15));
    assert_eq!(status(&store, "web"), CheckStatus::Critical);
    assert!(store.index_of(&Query::HealthChecks("web".into())) > before);
    assert_eq!(store.next_deadline(), None, "an expired check has no deadline");
}

#[test]
fn registering_the_same_again_moves_no_index_and_keeps_the_status() {
    let mut store = store();
    apply(&mut store, service("web", "w1", vec![ttl(10)]), ZERO);
    apply(&mut store, report("service:w1", CheckStatus::Passing), ZERO);
    let again = apply(&mut store, service("web", "w1", vec![ttl(10)]), secs(1));
    assert_eq!(again.index, None);
    assert_eq!(status(&store, "web"), CheckStatus::Passing);
}

#[test]
fn the_output_alone_wakes_nobody() {
    let mut store = store();
    apply(&mut store, service("web", "w1", vec![ttl(10)]), ZERO);
    apply(&mut store, report("service:w1", CheckStatus::Passing), ZERO);
    let said =
        Command::Report { id: "service:w1".into(), status: CheckStatus::Passing, output: "12:00".into() };
    assert_eq!(apply(&mut store, said, secs(1)).index, None);
    assert_eq!(entries(&store, "web")[0].checks[1].output, "12:00");
}

#[test]
fn a_service_critical_for_longer_than_it_allows_is_deregistered() {
    let mut store = store();
    let check = AgentCheckDefinition { deregister_critical_service_after: Some(secs(1).into()), ..ttl(10) };
    apply(&mut store, service("web", "w1", vec![check]), ZERO);
    assert!(apply(&mut store, Command::Reap, DEREGISTER_AFTER_MIN).reaped.is_empty(), "raised to a minute");
    let reaped = apply(&mut store, Command::Reap, DEREGISTER_AFTER_MIN + secs(1)).reaped;
    assert_eq!(reaped, ["w1"]);
    assert!(entries(&store, "web").is_empty());
}

#[test]
fn the_time_spent_critical_starts_anew_after_a_pass() {
    let mut store = store();
    let check = AgentCheckDefinition { deregister_critical_service_after: Some(secs(60).into()), ..ttl(10) };
    apply(&mut store, service("web", "w1", vec![check]), ZERO);
    apply(&mut store, report("service:w1", CheckStatus::Passing), secs(50));
    apply(&mut store, report("service:w1", CheckStatus::Critical), secs(55));
    assert!(apply(&mut store, Command::Reap, secs(100)).reaped.is_empty());
    assert_eq!(apply(&mut store, Command::Reap, secs(116)).reaped, ["w1"]);
}

#[test]
fn maintenance_takes_an_instance_out_and_gives_it_back() {
    let mut store = store();
    apply(&mut store, service("web", "w1", vec![]), ZERO);
    apply(&mut store, Command::EnableMaintenance { id: "w1".into(), reason: "disk".into() }, ZERO);
    assert_eq!(status(&store, "web"), CheckStatus::Maintenance);
    let twice =
        apply(&mut store, Command::EnableMaintenance { id: "w1".into(), reason: String::new() }, ZERO);
    assert_eq!(twice.index, None);
    apply(&mut store, Command::DisableMaintenance { id: "w1".into() }, ZERO);
    assert_eq!(status(&store, "web"), CheckStatus::Passing);
}

#[test]
fn a_try_of_a_replaced_check_is_ignored() {
    let mut store = store();
    let tcp = |address: &str| AgentCheckDefinition {
        tcp: address.into(),
        interval: Some(secs(1).into()),
        ..Default::default()
    };
    apply(&mut store, service("web", "w1", vec![tcp("127.0.0.1:1")]), ZERO);
    let old = apply(&mut store, Command::StartTries { max: 9 }, secs(1)).tries;
    assert_eq!(old.len(), 1);
    assert!(apply(&mut store, Command::StartTries { max: 9 }, secs(9)).tries.is_empty(), "one at a time");
    apply(&mut store, service("web", "w1", vec![tcp("127.0.0.1:2")]), secs(1));
    let passed = TryResult { status: CheckStatus::Passing, output: String::new() };
    let finish =
        |generation| Command::FinishTry { id: "service:w1".into(), generation, result: passed.clone() };
    apply(&mut store, finish(old[0].generation), secs(1));
    assert_eq!(status(&store, "web"), CheckStatus::Critical);
    let new = apply(&mut store, Command::StartTries { max: 9 }, secs(2)).tries;
    apply(&mut store, finish(new[0].generation), secs(2));
    assert_eq!(status(&store, "web"), CheckStatus::Passing);
}

#[test]
fn replace_existing_checks_drops_the_checks_that_are_not_named() {
    let mut store = store();
    let named = |id: &str| AgentCheckDefinition { check_id: id.into(), ..ttl(10) };
    apply(&mut store, service("web", "w1", vec![named("a"), named("b")]), ZERO);
    apply(&mut store, service("web", "w1", vec![named("b"), named("c")]), ZERO);
    assert_eq!(store.agent_checks().keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let Command::RegisterService { registration, .. } = service("web", "w1", vec![named("c")]) else {
        panic!()
    };
    apply(&mut store, Command::RegisterService { registration, replace_existing_checks: true }, ZERO);
    assert_eq!(store.agent_checks().keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_renamed_service_leaves_its_old_name() {
    let mut store = store();
    apply(&mut store, service("web", "w1", vec![]), ZERO);
    let before = store.index_of(&Query::HealthService("web".into(), Filter::default()));
    apply(&mut store, service("shop", "w1", vec![]), ZERO);
    assert!(entries(&store, "web").is_empty());
    assert_eq!(entries(&store, "shop").len(), 1);
    assert!(store.index_of(&Query::HealthService("web".into(), Filter::default())) > before);
}

#[test]
fn compare_and_set_writes_only_over_the_index_it_saw() {
    let mut store = store();
    assert!(apply(&mut store, put("a", "1", KvCondition::Index(0)), ZERO).done);
    assert!(!apply(&mut store, put("a", "2", KvCondition::Index(0)), ZERO).done);
    let index = store.index_of(&Query::Key("a".into()));
    assert!(apply(&mut store, put("a", "2", KvCondition::Index(index)), ZERO).done);
    assert!(!apply(&mut store, put("a", "3", KvCondition::Index(index)), ZERO).done);
    assert_eq!(apply(&mut store, put("a", "2", KvCondition::Always), ZERO).index, None, "the same again");
    let stale = Command::DeleteKey { key: "a".into(), condition: KvCondition::Index(index) };
    assert!(!apply(&mut store, stale, ZERO).done);
}

#[test]
fn a_deletion_under_a_watched_prefix_raises_its_index() {
    let mut store = store();
    apply(&mut store, put("a/x", "1", KvCondition::Always), ZERO);
    apply(&mut store, put("a/y", "1", KvCondition::Always), ZERO);
    apply(&mut store, put("b", "1", KvCondition::Always), ZERO);
    let tree = Query::Tree("a/".into());
    let before = store.index_of(&tree);
    apply(&mut store, put("b", "2", KvCondition::Always), ZERO);
    assert_eq!(store.index_of(&tree), before);
    apply(&mut store, Command::DeleteKey { key: "a/y".into(), condition: KvCondition::Always }, ZERO);
    assert!(store.index_of(&tree) > before);
}

#[test]
fn keys_are_cut_after_the_separator() {
    let mut store = store();
    for key in ["a/1", "a/b/1", "a/b/2", "c"] {
        apply(&mut store, put(key, "", KvCondition::Always), ZERO);
    }
    let keys = |prefix: &str, separator: &str| {
        store.view(&Query::Keys { prefix: prefix.into(), separator: separator.into() })
    };
    assert_eq!(keys("", "/"), View::Keys(vec!["a/".into(), "c".into()]));
    assert_eq!(keys("a/", "/"), View::Keys(vec!["a/1".into(), "a/b/".into()]));
    assert_eq!(keys("a/b", ""), View::Keys(vec!["a/b/1".into(), "a/b/2".into()]));
}

#[test]
fn a_value_above_the_bound_is_refused() {
    let mut store = store();
    let big = "x".repeat(VALUE_BYTES_MAX + 1);
    assert!(store.apply(put("a", &big, KvCondition::Always), ZERO).is_err());
}

#[test]
fn what_consul_refuses_is_refused_in_its_words() {
    let check = |registration: AgentServiceRegistration, text: &str| {
        let mut store = store();
        let command =
            Command::RegisterService { registration: Box::new(registration), replace_existing_checks: false };
        assert_eq!(store.apply(command, ZERO).unwrap_err().text, text);
        assert_eq!(store.last_index(), crate::index::FIRST_INDEX);
    };
    let web = || AgentServiceRegistration { name: "web".into(), ..Default::default() };
    check(AgentServiceRegistration::default(), "Missing service name");
    check(AgentServiceRegistration { address: "0.0.0.0".into(), ..web() }, "Invalid service address");
    check(
        AgentServiceRegistration { checks: vec![AgentCheckDefinition::default()], ..web() },
        "Invalid check: TTL must be > 0 for TTL checks",
    );
    check(
        AgentServiceRegistration {
            check: Some(AgentCheckDefinition { interval: Some(secs(1).into()), ..ttl(1) }),
            ..web()
        },
        "Invalid check: Interval and TTL cannot both be specified",
    );
    let weights = portcullis_consul_wire::Weights { passing: 0, warning: 1 };
    check(
        AgentServiceRegistration { weights: Some(weights), ..web() },
        "Invalid Weights: Passing must be greater than 0",
    );
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = prop::sample::select(vec!["s1", "s2", "s3"]);
    let name = prop::sample::select(vec!["web", "shop"]);
    let state = prop::sample::select(vec![CheckStatus::Passing, CheckStatus::Warning, CheckStatus::Critical]);
    let key = prop::sample::select(vec!["a", "a/b", "a/c", "d"]);
    prop_oneof![
        (name, id.clone(), 0..3usize).prop_map(|(name, id, n)| service(name, id, vec![ttl(5); n])),
        id.clone().prop_map(|id| Command::DeregisterService { id: id.into() }),
        id.clone().prop_map(|id| Command::EnableMaintenance { id: id.into(), reason: String::new() }),
        id.clone().prop_map(|id| Command::DisableMaintenance { id: id.into() }),
        (id.clone(), state).prop_map(|(id, state)| report(&format!("service:{id}"), state)),
        id.prop_map(|id| Command::DeregisterCheck { id: format!("service:{id}:1") }),
        Just(Command::Expire),
        Just(Command::Reap),
        (key.clone(), 0..3u8).prop_map(|(key, value)| put(key, &value.to_string(), KvCondition::Always)),
        key.clone().prop_map(|key| put(key, "cas", KvCondition::Index(0))),
        key.clone().prop_map(|key| Command::DeleteKey { key: key.into(), condition: KvCondition::Always }),
        key.prop_map(|prefix| Command::DeleteTree { prefix: prefix.into() }),
    ]
}

fn questions() -> Vec<Query> {
    let mut questions = vec![
        Query::CatalogServices,
        Query::HealthState(None),
        Query::Tree(String::new()),
        Query::CatalogNodes,
    ];
    for name in ["web", "shop", "nobody"] {
        questions.push(Query::HealthService(name.into(), Filter::default()));
        questions.push(Query::CatalogService(name.into(), Filter::default()));
    }
    for key in ["a", "a/b", "d"] {
        questions.push(Query::Key(key.into()));
        questions.push(Query::Tree(key.into()));
    }
    questions
}

/// A view without the outputs of checks, which move no index.
fn visible(store: &Store, query: &Query) -> View {
    let quiet = |check: &mut portcullis_consul_wire::HealthCheck| check.output.clear();
    let mut view = store.view(query);
    match &mut view {
        View::Entries(entries) => entries.iter_mut().flat_map(|entry| &mut entry.checks).for_each(quiet),
        View::Checks(checks) => checks.iter_mut().for_each(quiet),
        View::Names(_) | View::Services(_) | View::Nodes(_) | View::Pairs(_) | View::Keys(_) => {}
    }
    view
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_change_somebody_can_see_raises_the_index_of_the_question(
        commands in prop::collection::vec((any_command(), 0..40u64), 1..40)
    ) {
        let mut store = store();
        let mut now = ZERO;
        for (command, pause) in commands {
            now += secs(pause);
            let before: Vec<_> =
                questions().iter().map(|query| (visible(&store, query), store.index_of(query))).collect();
            let last = store.last_index();
            let outcome = store.apply(command.clone(), now);
            match &outcome {
                Ok(changes) => prop_assert_eq!(changes.index, (store.last_index() > last).then(|| store.last_index())),
                Err(_) => prop_assert_eq!(store.last_index(), last, "a refusal moves nothing"),
            }
            prop_assert!(store.last_index() >= last);
            for (query, (view, index)) in questions().iter().zip(before) {
                let found = store.index_of(query);
                prop_assert!(found > 0);
                prop_assert!(found <= store.last_index());
                if visible(&store, query) != view {
                    prop_assert!(found > index, "{query:?} {command:?}: {index} -> {found}");
                }
            }
        }
    }

    #[test]
    fn deregistering_everything_leaves_nothing(commands in prop::collection::vec(any_command(), 1..40)) {
        let mut store = store();
        for command in commands {
            let _ = store.apply(command, ZERO);
        }
        for id in ["s1", "s2", "s3"] {
            let _ = store.apply(Command::DeregisterService { id: id.into() }, ZERO);
        }
        apply(&mut store, Command::DeleteTree { prefix: String::new() }, ZERO);
        prop_assert!(store.agent_services().is_empty());
        prop_assert!(store.agent_checks().is_empty());
        prop_assert_eq!(store.next_deadline(), None);
        prop_assert_eq!(store.view(&Query::CatalogServices), View::Names(BTreeMap::new()));
        prop_assert_eq!(store.view(&Query::Tree(String::new())), View::Pairs(vec![]));
    }

    #[test]
    fn the_same_commands_at_the_same_times_give_the_same_store(
        commands in prop::collection::vec((any_command(), 0..40u64), 1..40)
    ) {
        let (mut one, mut other) = (store(), store());
        for (command, at) in commands {
            prop_assert_eq!(one.apply(command.clone(), secs(at)), other.apply(command, secs(at)));
        }
        prop_assert_eq!(one, other);
    }
}
