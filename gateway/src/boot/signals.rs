//! What the operating system and the files tell a running gateway.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use crate::listener::ListenerSet;
use crate::readiness::Readiness;
use crate::reload::{Reloader, watch};
use crate::stopping::Stopping;

/// Waits for SIGTERM, SIGINT or a wish from inside, then for the requests in progress.
///
/// The wait is ours and not Pingora's, which sleeps out its whole grace period: an idle gateway stops at once.
pub(super) struct Stop {
    pub(super) listeners: ListenerSet,
    pub(super) readiness: Arc<Readiness>,
    /// Longest wait; what still runs then is broken off.
    pub(super) grace: Duration,
    /// Told to stop.
    pub(super) asked: Mutex<Asked>,
    /// Somebody inside wishes it.
    pub(super) stopping: Arc<Stopping>,
}

/// SIGTERM and SIGINT, received from the moment this is made: before it they end the process at once.
pub(super) struct Asked(Option<(Signal, Signal)>);

impl Asked {
    /// To be called within a runtime, before anybody is told that the gateway is ready.
    pub(super) fn listen() -> Self {
        let (Ok(terminate), Ok(interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals cannot be received; the gateway can only be killed");
            return Self(None);
        };
        Self(Some((terminate, interrupt)))
    }

    async fn recv(&mut self) {
        let Some((terminate, interrupt)) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut asked = self.asked.lock().await;
        let grace = tokio::select! {
            () = asked.recv() => self.grace,
            wish = self.stopping.wished() => wish.grace.unwrap_or(self.grace),
        };
        self.readiness.draining();
        self.listeners.drain();
        let open = self.listeners.in_flight();
        tracing::info!(connections = open.count(), grace_s = grace.as_secs(), "draining");
        if tokio::time::timeout(grace, open.idle()).await.is_err() {
            tracing::warn!(
                connections = open.count(),
                "the grace period is over, breaking off what still runs"
            );
        }
        ShutdownSignal::FastShutdown
    }
}

/// Reloads on SIGHUP.
pub(super) async fn hangup(reloader: Arc<Reloader>) {
    if let Err(error) = watch::on_hangup(reloader).await {
        tracing::error!(%error, "SIGHUP cannot be received; reload through the admin API");
    }
}

/// Reloads when the files change.
pub(super) async fn changes(reloader: Arc<Reloader>) {
    if let Err(error) = watch::on_change(reloader).await {
        tracing::error!(%error, "the configuration's directory cannot be watched; reload by SIGHUP");
    }
}
