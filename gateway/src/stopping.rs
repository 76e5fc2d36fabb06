//! A wish that the gateway stop, from inside: what SIGTERM is from outside.

use std::time::Duration;

use tokio::sync::watch;

/// Whether somebody wished it, and how long requests in progress may take.
#[derive(Debug)]
pub struct Stopping(watch::Sender<Option<Wish>>);

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Longest wait for requests in progress; the start's if `None`.
    pub grace: Option<Duration>,
}

impl Default for Stopping {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Stopping {
    /// Stops the gateway as SIGTERM would. The first wish holds.
    pub fn wish(&self, wish: Wish) {
        self.0.send_if_modified(|held| {
            let is_first = held.is_none();
            held.get_or_insert(wish);
            is_first
        });
    }

    /// Waits for a wish.
    pub async fn wished(&self) -> Wish {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|wish| *wish) {
            Ok(Some(wish)) => wish,
            // The sender is ours, so it outlives the wait.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
