//! Server-sent events over a ring: what was missed, then what comes, until one side ends it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::ring::{Place, Placed, Ring};

/// Streams open at once, of every kind.
pub const STREAMS_MAX: usize = 64;
/// A comment is sent after so much silence, so that proxies and both ends know that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a stream is made of.
pub(super) struct Streamed<T> {
    wants: Box<dyn Fn(&T) -> bool + Send + Sync>,
    show: Box<dyn Fn(&T) -> Event + Send + Sync>,
    /// Held until the stream ends: its seat, and whatever else belongs to it.
    _held: (OwnedSemaphorePermit, Box<dyn Send + Sync>),
}

/// Where a stream stands.
struct Standing<T> {
    streamed: Streamed<T>,
    gap: bool,
    backlog: VecDeque<Arc<Placed<T>>>,
    receiver: Receiver<Arc<Placed<T>>>,
    is_over: bool,
}

impl<T> Streamed<T> {
    /// A stream of what is wanted, shown like this, if there is a seat. `held` is kept as long as the stream.
    pub(super) fn new(
        seats: &Arc<Semaphore>,
        held: impl Send + Sync + 'static,
        wants: impl Fn(&T) -> bool + Send + Sync + 'static,
        show: impl Fn(&T) -> Event + Send + Sync + 'static,
    ) -> Result<Self, Box<Response>> {
        let Ok(seat) = Arc::clone(seats).try_acquire_owned() else {
            let detail = format!("{STREAMS_MAX} streams are open already; close one and ask again");
            let mut refused =
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail).into_response();
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return Err(Box::new(refused));
        };
        Ok(Self { wants: Box::new(wants), show: Box::new(show), _held: (seat, Box::new(held)) })
    }
}

/// Answers with the stream: from `Last-Event-ID` on, or from now.
pub(super) fn answer<T: Send + Sync + 'static>(
    ring: &Ring<T>,
    headers: &HeaderMap,
    streamed: Streamed<T>,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // An id that is none of ours is one whose events are lost.
    let after = last.map(|id| id.parse().unwrap_or_else(|()| Place::lost()));
    let watching = ring.watch(after);
    let standing = Standing {
        streamed,
        gap: watching.gap,
        backlog: watching.backlog,
        receiver: watching.receiver,
        is_over: false,
    };
    let stream = unfold(standing, |mut standing| async move {
        let event = standing.next().await?;
        Some((Ok::<_, Infallible>(event), standing))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Nothing on the way may hold events back until there are many.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl<T> Standing<T> {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        if std::mem::take(&mut self.gap) {
            return Some(Event::default().event("gap").data("{\"detail\":\"events before these are lost\"}"));
        }
        while let Some(placed) = self.backlog.pop_front() {
            if let Some(event) = self.event(&placed) {
                return Some(event);
            }
        }
        loop {
            match self.receiver.recv().await {
                Ok(placed) => {
                    if let Some(event) = self.event(&placed) {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    self.is_over = true;
                    let data = format!(
                        "{{\"missed\":{missed},\"detail\":\"too slow; connect again with Last-Event-ID\"}}"
                    );
                    return Some(Event::default().event("lagged").data(data));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn event(&self, placed: &Placed<T>) -> Option<Event> {
        let value = &placed.value;
        (self.streamed.wants)(value).then(|| (self.streamed.show)(value).id(placed.place.to_string()))
    }
}
