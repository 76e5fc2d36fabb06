//! A deadline that costs nothing while it keeps moving.
//!
//! Decides whether a deadline has passed. Keeps one tokio timer and lets it fire early rather than re-arming it with
//! every request: a timer that fires before the deadline is armed again, one that is never polled is never made.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::clock;

/// One deadline, off at first.
#[derive(Debug, Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    /// Boxed, so that a connection that never waits does not carry it.
    sleep: Option<Pin<Box<Sleep>>>,
}

fn now() -> Instant {
    Instant::from_std(clock::instant())
}

impl Timer {
    /// The deadline is `span` from now.
    pub(super) fn set(&mut self, span: Duration) {
        self.deadline = now().checked_add(span);
    }

    /// The deadline is `span` from now, unless it is sooner already.
    pub(super) fn bring_forward(&mut self, span: Duration) {
        let sooner = now().checked_add(span);
        self.deadline = match (self.deadline, sooner) {
            (Some(now), Some(new)) => Some(now.min(new)),
            (known, None) | (None, known) => known,
        };
    }

    /// No deadline.
    pub(super) fn clear(&mut self) {
        self.deadline = None;
    }

    /// Whether the deadline has passed; if not, the task is woken when it does.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while let Poll::Ready(()) = sleep.as_mut().poll(cx) {
            if sleep.deadline() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn expires(timer: &mut Timer) {
        std::future::poll_fn(|cx| if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn pending(timer: &mut Timer) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(!timer.poll_expired(cx))).await
    }

    #[tokio::test]
    async fn a_timer_without_a_deadline_never_expires() {
        let mut timer = Timer::default();
        assert!(pending(&mut timer).await);
        timer.set(Duration::ZERO);
        timer.clear();
        assert!(pending(&mut timer).await);
    }

    #[tokio::test]
    async fn a_deadline_that_moved_away_is_waited_for() {
        let mut timer = Timer::default();
        timer.set(Duration::from_millis(5));
        assert!(pending(&mut timer).await);
        let start = now();
        timer.set(Duration::from_millis(40));
        expires(&mut timer).await;
        assert!(now() - start >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_deadline_that_moved_near_is_met() {
        let mut timer = Timer::default();
        timer.set(Duration::from_secs(3600));
        assert!(pending(&mut timer).await);
        timer.bring_forward(Duration::from_millis(1));
        expires(&mut timer).await;
    }
}
