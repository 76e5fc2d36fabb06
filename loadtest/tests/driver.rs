//! The driver against servers on real sockets: what it sends, what it notices, what it measures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start servers, whose tasks end with the test's runtime"
)]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portcullis_loadtest::origin::{Origin, SERVED_BY, fixed_body};
use portcullis_loadtest::{BodyExpect, Expect, Load, Plan, PlanError, Protocol, RequestIds};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Reply = Response<Full<Bytes>>;

/// A server whose answers the test writes.
async fn serve<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let reply = answer(request);
                    async move { Ok::<_, Infallible>(reply.await) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

async fn origin(origin: Origin) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(origin.serve(listener));
    address
}

/// So many requests at 500 a second.
fn plan(address: SocketAddr, requests_max: u64) -> Plan {
    Plan { rate_per_s: 500.0, requests_max, ..Plan::new(&format!("http://{address}/x")) }
}

fn text(body: &'static str) -> Reply {
    Response::new(Full::new(Bytes::from_static(body.as_bytes())))
}

#[tokio::test]
async fn right_answers_are_counted_and_measured() {
    let address = origin(Origin::default()).await;
    let digest: [u8; 32] = Sha256::digest(fixed_body(1024)).as_slice().try_into().unwrap();
    let expect = Expect { statuses: vec![StatusCode::OK], body: BodyExpect::Sha256(digest) };
    let report = Load::start(Plan { expect, ..plan(address, 50) }).unwrap().wait().await;
    assert!(report.is_clean(), "{}", report.summary());
    assert_eq!((report.sent, report.ok, report.statuses[&200]), (50, 50, 50));
    assert!(
        report.latency.min_us > 0 && report.latency.p50_us <= report.latency.max_us,
        "{:?}",
        report.latency
    );
    assert!((1..=32).contains(&report.connections_opened), "{}", report.connections_opened);
    assert!(report.ended_unix_ms >= report.started_unix_ms);
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_one_is_a_failure() {
    let address = origin(Origin::default()).await;
    let expect = Expect { statuses: Vec::new(), body: BodyExpect::Exactly(Bytes::from_static(b"other")) };
    let report = Load::start(Plan { expect, ..plan(address, 5) }).unwrap().wait().await;
    assert_eq!((report.ok, report.failed_by_kind["body"].count), (0, 5));
    assert!(
        report.failed_by_kind["body"].examples[0].contains("1024 bytes: 0123456789abcdef"),
        "{}",
        report.summary()
    );
}

#[tokio::test]
async fn unexpected_statuses_are_counted_by_status_with_examples() {
    let address = origin(Origin { fail_every: 4, ..Origin::default() }).await;
    let report = Load::start(plan(address, 40)).unwrap().wait().await;
    assert_eq!((report.ok, report.failed), (30, 10), "{}", report.summary());
    assert_eq!(report.failed_by_kind["status_503"].count, 10);
    assert_eq!(report.failed_by_kind["status_503"].examples.len(), 3);
    assert_eq!((report.statuses[&200], report.statuses[&503]), (30, 10));
}

#[tokio::test]
async fn an_answer_to_somebody_elses_request_is_noticed() {
    let header = HeaderName::from_static("x-request-id");
    let count = Arc::new(AtomicU64::new(0));
    let address = serve(move |request: Request<Incoming>| {
        let mut reply = text("ok");
        if count.fetch_add(1, Ordering::Relaxed) != 3 {
            reply.headers_mut().insert("x-request-id", request.headers()["x-request-id"].clone());
        } else {
            reply.headers_mut().insert("x-request-id", HeaderValue::from_static("another"));
        }
        std::future::ready(reply)
    })
    .await;
    let request_ids = Some(RequestIds { header, echo: true });
    let report = Load::start(Plan { request_ids, ..plan(address, 10) }).unwrap().wait().await;
    assert_eq!((report.ok, report.failed_by_kind["request_id"].count), (9, 1), "{}", report.summary());
}

#[tokio::test]
async fn answers_are_counted_by_the_instance_that_gave_them() {
    let count = Arc::new(AtomicU64::new(0));
    let address = serve(move |_| {
        let mut reply = text("ok");
        let name = ["a", "b", "c"][(count.fetch_add(1, Ordering::Relaxed) % 3) as usize];
        reply.headers_mut().insert(SERVED_BY, HeaderValue::from_static(name));
        std::future::ready(reply)
    })
    .await;
    let report =
        Load::start(Plan { spread_header: Some(SERVED_BY), ..plan(address, 30) }).unwrap().wait().await;
    assert_eq!(
        report.spread.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>(),
        [("a", 10), ("b", 10), ("c", 10)]
    );
}

#[tokio::test]
async fn requests_stay_due_while_the_server_stalls_and_the_wait_is_measured() {
    let (stalled, stall) = watch::channel(true);
    let address = serve(move |_| {
        let mut stall = stall.clone();
        async move {
            stall.wait_for(|stalled| !stalled).await.unwrap();
            text("ok")
        }
    })
    .await;
    // One connection: a driver that waits for an answer before it sends again would send one request.
    let load = Load::start(Plan { connections_max: 1, rate_per_s: 200.0, ..plan(address, 100) }).unwrap();
    while load.progress().sent < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(load.progress().ok, 0);
    stalled.send(false).unwrap();
    let report = load.wait().await;
    assert!(report.is_clean(), "{}", report.summary());
    assert!(report.rate_reached_per_s <= 210.0, "{}", report.rate_reached_per_s);
    // They were due over 495 ms, all answered at its end: the first waited all of it, half waited half.
    assert!(report.latency.max_us >= 490_000, "{:?}", report.latency);
    assert!(report.latency.p50_us >= 230_000, "{:?}", report.latency);
}

#[tokio::test]
async fn answers_that_never_come_are_failures_of_their_own_kind() {
    let address = serve(|_| std::future::pending::<Reply>()).await;
    let timeout = Duration::from_millis(100);
    let report = Load::start(Plan { timeout, ..plan(address, 10) }).unwrap().wait().await;
    assert_eq!((report.sent, report.failed_by_kind["timeout"].count), (10, 10), "{}", report.summary());
}

#[tokio::test]
async fn more_than_may_wait_is_not_sent_and_counts_as_failed() {
    let address = serve(|_| std::future::pending::<Reply>()).await;
    let timeout = Duration::from_secs(1);
    let report = Load::start(Plan { timeout, in_flight_max: 4, ..plan(address, 10) }).unwrap().wait().await;
    assert_eq!((report.failed_by_kind["backlog_full"].count, report.failed_by_kind["timeout"].count), (6, 4));
}

#[tokio::test]
async fn a_closed_port_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = Load::start(plan(address, 5)).unwrap().wait().await;
    assert_eq!(report.failed_by_kind["connect"].count, 5, "{}", report.summary());
}

/// Answers each connection once with `reply`, then closes it.
async fn serve_raw(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn an_answer_cut_short_is_a_failure() {
    let address = serve_raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let report = Load::start(plan(address, 3)).unwrap().wait().await;
    assert_eq!(report.failed_by_kind["closed"].count, 3, "{}", report.summary());
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_failure() {
    let address = serve_raw("hello\r\n\r\n").await;
    let report = Load::start(plan(address, 3)).unwrap().wait().await;
    assert_eq!(report.failed_by_kind["protocol"].count, 3, "{}", report.summary());
}

#[tokio::test]
async fn a_server_that_closes_after_every_answer_gets_new_connections() {
    let address = serve_raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let report = Load::start(Plan { connections_max: 2, ..plan(address, 20) }).unwrap().wait().await;
    assert!(report.is_clean(), "{}", report.summary());
    assert_eq!(report.connections_opened, 20);
}

#[tokio::test]
async fn http2_carries_many_requests_on_few_connections() {
    let address = origin(Origin { delay: Duration::from_millis(20), ..Origin::default() }).await;
    let load =
        Load::start(Plan { protocol: Protocol::H2c, connections_max: 2, ..plan(address, 100) }).unwrap();
    let report = load.wait().await;
    assert!(report.is_clean(), "{}", report.summary());
    assert!(report.connections_opened <= 2, "{}", report.connections_opened);
}

#[tokio::test]
async fn a_load_without_an_end_runs_until_it_is_stopped() {
    let address = origin(Origin::default()).await;
    let load = Load::start(Plan { rate_per_s: 1000.0, ..Plan::new(&format!("http://{address}/")) }).unwrap();
    while load.progress().ok < 20 {
        tokio::task::yield_now().await;
    }
    let report = load.stop().await;
    assert!(report.is_clean(), "{}", report.summary());
    assert!(report.sent >= 20 && report.sent == report.ok);
}

#[tokio::test]
async fn other_machines_are_refused_before_anything_is_sent() {
    let refused = Load::start(Plan::new("http://192.0.2.1/")).unwrap_err();
    assert!(matches!(refused, PlanError::NotLoopback { .. }));
    assert_eq!(
        refused.to_string(),
        "refusing to send load to `192.0.2.1`: it is not a loopback address; \
         load goes to loopback addresses only (127.0.0.1, ::1, localhost)"
    );
}

#[tokio::test]
async fn plans_out_of_range_are_refused() {
    let base = Plan::new("http://127.0.0.1:1/");
    for rate_per_s in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(matches!(Load::start(Plan { rate_per_s, ..base.clone() }), Err(PlanError::Rate(_))));
    }
    assert!(matches!(
        Load::start(Plan { connections_max: 0, ..base.clone() }),
        Err(PlanError::Connections(0))
    ));
    assert!(matches!(Load::start(Plan { in_flight_max: 0, ..base }), Err(PlanError::Zero)));
}
