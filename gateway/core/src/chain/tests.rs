//! Filters that behave and misbehave, and what becomes of the exchange.

use std::net::{IpAddr, Ipv4Addr};

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portcullis_plugin_sdk::{RequestFacts, Scheme, Vars};

use super::*;

const TRAIL: HeaderName = HeaderName::from_static("x-trail");

/// What a test filter does at each of its hooks, after leaving its mark in `x-trail`.
#[derive(Clone, Copy)]
enum Act {
    Continue,
    Respond,
    RespondBadly,
    Fault,
    Panic,
}

struct Acting {
    mark: &'static str,
    hooks: Hooks,
    act: Act,
}

impl Acting {
    fn act(&self) -> Result<Flow, Fault> {
        match self.act {
            Act::Continue => Ok(Flow::Continue),
            Act::Respond => Ok(Flow::Respond(Reply::new(StatusCode::IM_A_TEAPOT))),
            Act::RespondBadly => {
                let five = HeaderValue::from_static("5");
                Ok(Flow::Respond(Reply::new(StatusCode::OK).with_header(CONTENT_LENGTH, five)))
            }
            Act::Fault => Err(Fault::new("no database")),
            Act::Panic => panic!("index {} out of range", 7),
        }
    }
}

impl Filter for Acting {
    fn hooks(&self) -> Hooks {
        self.hooks
    }

    fn on_preflight(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        request.headers_mut().append(&TRAIL, HeaderValue::from_static(self.mark))?;
        self.act()
    }

    fn on_request(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        request.headers_mut().append(&TRAIL, HeaderValue::from_static(self.mark))?;
        self.act()
    }

    fn on_response(&self, response: &mut ResponseView<'_>) -> Result<Flow, Fault> {
        response.headers_mut().append(&TRAIL, HeaderValue::from_static(self.mark))?;
        self.act()
    }
}

fn link(mark: &'static str, hooks: Hooks, act: Act, failure: OnFault) -> ChainLink {
    ChainLink { filter: Arc::new(Acting { mark, hooks, act }), name: mark.into(), failure }
}

/// A chain of filters at every hook that fail by `failure`.
fn chain(acts: &[(&'static str, Act)], failure: OnFault) -> Chain {
    let all = Hooks::PREFLIGHT | Hooks::REQUEST | Hooks::RESPONSE;
    Chain::new(acts.iter().map(|(mark, act)| link(mark, all, *act, failure)).collect())
}

/// Runs a hook; returns the report and the marks in the order they were left.
fn run(chain: &Chain, hook: Hook) -> (ChainReport, String) {
    let facts = RequestFacts {
        method: &Method::GET,
        path: "/",
        query: None,
        host: "a.example",
        scheme: Scheme::Http,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        route: "r",
        identity: None,
    };
    let (mut headers, mut vars) = (HeaderMap::new(), Vars::new());
    let sent = HeaderMap::new();
    let report = match hook {
        Hook::Preflight => chain.on_preflight(&mut RequestView::new(facts, &mut headers, &mut vars)),
        Hook::Request => chain.on_request(&mut RequestView::new(facts, &mut headers, &mut vars)),
        Hook::Response => {
            let status = StatusCode::OK;
            chain.on_response(&mut ResponseView::new(facts, &sent, status, &mut headers, &mut vars))
        }
    };
    let trail = headers.get_all(TRAIL).iter().map(|mark| mark.to_str().unwrap()).collect();
    (report, trail)
}

#[test]
fn requests_meet_filters_in_order_and_replies_in_reverse() {
    let chain = chain(&[("a", Act::Continue), ("b", Act::Continue), ("c", Act::Continue)], OnFault::Deny);
    for (hook, trail) in [(Hook::Preflight, "abc"), (Hook::Request, "abc"), (Hook::Response, "cba")] {
        let (report, seen) = run(&chain, hook);
        assert_eq!(report, ChainReport { flow: ChainFlow::Continue, incidents: vec![] });
        assert_eq!(seen, trail, "{hook:?}");
    }
    assert_eq!(chain.names().map(|name| &**name).collect::<String>(), "abc");
}

#[test]
fn an_empty_chain_wants_nothing() {
    let chain = Chain::default();
    assert!(chain.is_empty());
    for hook in [Hook::Preflight, Hook::Request, Hook::Response] {
        assert!(!chain.wants(hook));
        assert_eq!(run(&chain, hook).0.flow, ChainFlow::Continue);
    }
}

#[test]
fn a_hook_that_is_not_declared_is_not_called() {
    let links = vec![
        link("a", Hooks::REQUEST, Act::Continue, OnFault::Deny),
        link("b", Hooks::RESPONSE, Act::Panic, OnFault::Deny),
        link("c", Hooks::NONE, Act::Panic, OnFault::Deny),
    ];
    let chain = Chain::new(links);
    assert!(chain.wants(Hook::Request) && chain.wants(Hook::Response) && !chain.wants(Hook::Preflight));
    assert_eq!(run(&chain, Hook::Request).1, "a");
    assert_eq!(run(&chain, Hook::Preflight).1, "");
}

#[test]
fn a_reply_ends_the_hook_and_names_its_maker() {
    let chain = chain(&[("a", Act::Continue), ("b", Act::Respond), ("c", Act::Panic)], OnFault::Deny);
    let (report, trail) = run(&chain, Hook::Request);
    let reply = Reply::new(StatusCode::IM_A_TEAPOT);
    assert_eq!(report.flow, ChainFlow::Respond { reply, plugin: "b".into() });
    assert_eq!((trail.as_str(), report.incidents), ("ab", vec![]));
}

#[test]
fn a_fault_denies_the_exchange_unless_it_is_to_be_bypassed() {
    let acts = [("a", Act::Fault), ("b", Act::Continue)];
    let incident = |hook| Incident {
        plugin: "a".into(),
        hook,
        kind: IncidentKind::Fault,
        message: "no database".into(),
    };
    let (report, trail) = run(&chain(&acts, OnFault::Deny), Hook::Request);
    assert_eq!(report.flow, ChainFlow::Deny { plugin: "a".into() });
    assert_eq!((trail.as_str(), report.incidents), ("a", vec![incident(Hook::Request)]));
    let (report, trail) = run(&chain(&acts, OnFault::Bypass), Hook::Response);
    assert_eq!(report.flow, ChainFlow::Continue);
    assert_eq!((trail.as_str(), report.incidents), ("ba", vec![incident(Hook::Response)]));
}

#[test]
fn a_panic_is_caught_and_settled_like_a_fault() {
    let acts = [("a", Act::Panic), ("b", Act::Continue)];
    for hook in [Hook::Preflight, Hook::Request, Hook::Response] {
        let (report, _) = run(&chain(&acts, OnFault::Deny), hook);
        assert_eq!(report.flow, ChainFlow::Deny { plugin: "a".into() });
        assert_eq!(report.incidents[0].kind, IncidentKind::Panic);
        assert_eq!(report.incidents[0].message, "index 7 out of range");
        let (report, trail) = run(&chain(&acts, OnFault::Bypass), hook);
        assert_eq!((report.flow, trail.len()), (ChainFlow::Continue, 2));
    }
}

#[test]
fn every_bypassed_failure_is_reported() {
    let (report, _) = run(&chain(&[("a", Act::Panic), ("b", Act::Fault)], OnFault::Bypass), Hook::Request);
    let kinds: Vec<_> = report.incidents.iter().map(|incident| incident.kind).collect();
    assert_eq!(kinds, [IncidentKind::Panic, IncidentKind::Fault]);
}

#[test]
fn a_reply_that_cannot_be_sent_is_a_fault_not_an_answer() {
    let (report, _) = run(&chain(&[("a", Act::RespondBadly)], OnFault::Deny), Hook::Request);
    assert_eq!(report.flow, ChainFlow::Deny { plugin: "a".into() });
    assert!(report.incidents[0].message.contains("content-length"));
    let (report, _) = run(&chain(&[("a", Act::RespondBadly)], OnFault::Bypass), Hook::Request);
    assert_eq!(report.flow, ChainFlow::Continue);
}

#[test]
fn a_fault_without_end_is_shortened() {
    assert_eq!(shorten(&"é".repeat(10_000)).chars().count(), INCIDENT_CHARS_MAX);
}
