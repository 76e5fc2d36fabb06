//! Connections kept alive and lent to one request at a time (HTTP/1.1) or to several (HTTP/2).
//!
//! A lease is the right to send one request. Leases that nobody holds lie in a queue; whoever finds
//! none opens a connection while the bound allows it, else waits. Nothing here judges an answer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::expect::{Kind, Wrong};
use crate::plan::Protocol;
use crate::requests::Prepared;

/// Requests at a time on one HTTP/2 connection.
const STREAMS: usize = 32;
/// How often a request that was certainly not sent is given another connection.
const REOPENED_MAX: usize = 3;

/// The connections of one load.
#[derive(Debug)]
pub(crate) struct Connections {
    address: SocketAddr,
    protocol: Protocol,
    /// One permit for each connection that may still be opened.
    openable: Arc<Semaphore>,
    /// One permit for each lease in `idle`.
    idle_count: Semaphore,
    idle: Mutex<VecDeque<Lease>>,
    opened: AtomicU64,
}

/// The right to send one request.
#[derive(Debug)]
pub(crate) enum Lease {
    Http1(http1::SendRequest<Full<Bytes>>),
    H2c(http2::SendRequest<Full<Bytes>>),
}

impl Connections {
    pub(crate) fn new(address: SocketAddr, protocol: Protocol, connections_max: usize) -> Self {
        Self {
            address,
            protocol,
            openable: Arc::new(Semaphore::new(connections_max)),
            idle_count: Semaphore::new(0),
            idle: Mutex::new(VecDeque::new()),
            opened: AtomicU64::new(0),
        }
    }

    /// How many were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Sends one request and waits for the head of its answer. A connection that turns out closed
    /// before anything was sent is replaced; after that the failure is the server's.
    pub(crate) async fn send(&self, request: Prepared) -> Result<(Response<Incoming>, Lease), Wrong> {
        let mut request = request;
        let mut reopened = 0;
        loop {
            let mut lease = self.take().await?;
            if lease.ready().await.is_err() {
                continue;
            }
            let (error, unsent) = match lease.try_send(request).await {
                Ok(response) => return Ok((response, lease)),
                Err(refused) => refused,
            };
            match unsent {
                Some(again) if reopened < REOPENED_MAX => request = again,
                Some(_) | None => return Err(wrong_of(&error)),
            }
            reopened += 1;
        }
    }

    /// Gives a lease back after its answer was read to the end.
    pub(crate) fn give_back(&self, lease: Lease) {
        if !lease.is_closed() {
            self.queue().push_back(lease);
            self.idle_count.add_permits(1);
        }
    }

    /// The lease that was idle longest, so that every connection stays in use.
    async fn take(&self) -> Result<Lease, Wrong> {
        loop {
            let permit = tokio::select! {
                biased;
                idle = self.idle_count.acquire() => {
                    idle.map_err(|_| closed())?.forget();
                    None
                }
                openable = Arc::clone(&self.openable).acquire_owned() => Some(openable.map_err(|_| closed())?),
            };
            if let Some(permit) = permit {
                return self.open(permit).await;
            }
            let found = self.queue().pop_front();
            if let Some(lease) = found.filter(|lease| !lease.is_closed()) {
                return Ok(lease);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a connection's task ends with its last lease")]
    async fn open(&self, permit: OwnedSemaphorePermit) -> Result<Lease, Wrong> {
        let failed = |error: &dyn std::fmt::Display| Wrong::new(Kind::Connect, error.to_string());
        let stream = TcpStream::connect(self.address).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let stream = TokioIo::new(stream);
        let lease = match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(|error| failed(&error))?;
                tokio::spawn(async move {
                    // Its error reaches whoever waits for an answer.
                    let _ = connection.await;
                    drop(permit);
                });
                Lease::Http1(sender)
            }
            Protocol::H2c => {
                let made = http2::handshake(TokioExecutor::new(), stream).await;
                let (sender, connection) = made.map_err(|error| failed(&error))?;
                tokio::spawn(async move {
                    let _ = connection.await;
                    drop(permit);
                });
                for _ in 1..STREAMS {
                    self.give_back(Lease::H2c(sender.clone()));
                }
                Lease::H2c(sender)
            }
        };
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(lease)
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Lease>> {
        // A queue is whole between any two of its operations, so a poisoned lock changes nothing.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::H2c(sender) => sender.is_closed(),
        }
    }

    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::H2c(sender) => sender.ready().await,
        }
    }

    async fn try_send(
        &mut self,
        request: Prepared,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Prepared>)> {
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::H2c(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut refused| {
            let unsent = refused.take_message();
            (refused.into_error(), unsent)
        })
    }
}

/// What a broken exchange counts as.
pub(crate) fn wrong_of(error: &hyper::Error) -> Wrong {
    let kind = if error.is_parse() { Kind::Protocol } else { Kind::Closed };
    let mut detail = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        detail = format!("{detail}: {cause}");
    }
    Wrong::new(kind, detail)
}

fn closed() -> Wrong {
    Wrong::new(Kind::Connect, "the load has ended")
}
