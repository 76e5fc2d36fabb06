//! One connection's life: TLS handshake under a deadline, the guard around it, the app until it is done.
//!
//! Decides when a connection ends for the listener's reasons; never looks at requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use pingora_core::apps::ServerApp;
use pingora_core::protocols::{Digest, Stream};
use portcullis_core::headers::forwarded::Ends;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::accept::turned;
use super::afterwards::Afterwards;
use super::carried::carried;
use super::gauge::Seat;
use super::guard::{Drain, GuardedIo, Transport};
use super::refusal::{Refusal, RefusalCause, RefusalSink};
use super::set::Live;
use super::tls::TlsServer;

/// What a request needs to know about its connection; see [`connection_info`].
#[derive(Debug)]
pub struct ConnectionInfo {
    /// The listener's name when the connection was accepted.
    pub listener: Arc<str>,
    /// The peer of the TCP connection.
    pub client: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The server name of the TLS handshake (SNI), in lower case; `None` without TLS or without SNI.
    pub server_name: Option<Arc<str>>,
    /// What upstreams are told about it.
    pub ends: Ends,
    /// What a request leaves to be done between two polls of the connection's task.
    pub afterwards: Afterwards,
}

/// The connection a request came on, from `session.digest()`; `None` on a stream that no listener of ours made.
#[must_use]
pub fn connection_info(digest: &Digest) -> Option<&Arc<ConnectionInfo>> {
    carried(digest)
}

/// A connection as the accept loop hands it over.
pub(super) struct Arrival {
    pub(super) tcp: TcpStream,
    pub(super) client: SocketAddr,
    /// The port the listener is bound to: the one the system chose if 0 was asked for.
    pub(super) port: u16,
    pub(super) live: Arc<Live>,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) sink: Arc<dyn RefusalSink>,
    pub(super) seat: Seat,
}

/// Serves one connection to its end; the seat is free afterwards.
pub(super) async fn serve<A>(app: Arc<A>, arrival: Arrival)
where
    A: ServerApp + Send + Sync + 'static,
{
    let Arrival { tcp, client, port, live, drain, sink, seat } = arrival;
    let Some(transport) = secure(tcp, client, &live, sink.as_ref()).await else { return };
    let info = Arc::new(ConnectionInfo {
        listener: live.name.clone(),
        client,
        tls: live.tls.is_some(),
        server_name: transport.server_name(),
        ends: Ends::new(client.ip(), port),
        afterwards: Afterwards::default(),
    });
    let draining = Drain::default();
    let (guarded, aftercare) = GuardedIo::new(transport, info.clone(), &live.limits, sink, draining.clone());
    drive(app, Box::new(guarded), &info, drain, &draining).await;
    aftercare.finish().await;
    drop(seat);
}

/// The transport to read HTTP from: the socket itself, or TLS on it once the handshake is through.
async fn secure(
    tcp: TcpStream,
    client: SocketAddr,
    live: &Live,
    sink: &dyn RefusalSink,
) -> Option<Transport> {
    let Some(tls) = &live.tls else { return Some(Transport::Plain(tcp)) };
    match handshake(tcp, tls, live).await {
        Ok(stream) => Some(Transport::Tls(Box::new(stream))),
        Err((cause, detail)) => {
            sink.refused(&Refusal {
                listener: &live.name,
                client,
                cause,
                status: None,
                code: cause.as_str(),
                detail: detail.into(),
                request_id: None,
            });
            None
        }
    }
}

async fn handshake(
    tcp: TcpStream,
    tls: &TlsServer,
    live: &Live,
) -> Result<TlsStream<TcpStream>, (RefusalCause, String)> {
    let accepted = Box::pin(TlsAcceptor::from(tls.config.clone()).accept(tcp));
    match tokio::time::timeout(live.limits.tls_handshake_timeout, accepted).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(failure)) => Err((RefusalCause::Handshake, failure.to_string())),
        Err(_elapsed) => Err((RefusalCause::HandshakeTimeout, "the TLS handshake took too long".to_owned())),
    }
}

/// Runs the app until it gives the connection up. When the drain begins, the flag is set and the app polled again:
/// the guard, waiting deep inside for a next request that must not come, sees it and ends the connection.
async fn drive<A>(
    app: Arc<A>,
    stream: Stream,
    info: &ConnectionInfo,
    drain: watch::Receiver<bool>,
    draining: &Drain,
) where
    A: ServerApp + Send + Sync + 'static,
{
    let serving = async {
        let mut next = Some(stream);
        while let Some(stream) = next.take() {
            next = app.process_new(stream, &drain).await;
        }
    };
    tokio::pin!(serving);
    let serving = poll_fn(|cx| {
        let polled = serving.as_mut().poll(cx);
        if polled.is_pending() {
            info.afterwards.poll_ended(cx.waker());
        }
        polled
    });
    tokio::pin!(serving);
    if done_before_drain(serving.as_mut(), &drain).await {
        return;
    }
    draining.begin();
    serving.await;
}

/// Polls `serving` until it is done (true) or the drain has begun (false).
///
/// What waits for the drain is registered once and not, as `select!` would, with each of the many polls of a request.
async fn done_before_drain(
    mut serving: Pin<&mut impl Future<Output = ()>>,
    drain: &watch::Receiver<bool>,
) -> bool {
    let mut told = drain.clone();
    // Unconstrained: a poll that the scheduler's budget puts off would not have registered anything.
    let turned = tokio::task::unconstrained(turned(&mut told));
    tokio::pin!(turned);
    let mut registered: Option<Waker> = None;
    poll_fn(|cx| {
        if serving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let is_registered = registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_registered && !drain.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        registered = Some(cx.waker().clone());
        turned.as_mut().poll(cx).map(|()| false)
    })
    .await
}
