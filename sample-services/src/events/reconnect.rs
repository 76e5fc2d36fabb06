//! How long to wait before the next try to reach a broker.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

use super::Backoff;
use crate::chance::roll;

/// Waits between tries. A broker that is back is found within the longest of them.
const BACKOFF: Backoff = Backoff { first_ms: 200, max_ms: 5_000 };

/// Waits that grow with each failure and start again after a success.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// It works again.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }

    /// Tells that no events come from `broker` to `service`, and waits for the next try or for `stop`. False if nobody can
    /// say stop any more.
    pub(super) async fn wait(
        &mut self,
        broker: &'static str,
        service: &'static str,
        error: &impl fmt::Display,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let wait = self.after_failure();
        tracing::warn!(service, %error, ?wait, "no events from {broker}; trying on");
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            stopped = stop.wait_for(|stop| *stop) => stopped.is_ok(),
        }
    }

    /// The wait after one more failure.
    fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(u64::try_from(BACKOFF.wait_ms(self.failures, roll())).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_start_again_after_a_success() {
        let mut reconnect = Reconnect::default();
        let longest = (0..50).map(|_| reconnect.after_failure()).max().unwrap();
        assert!(longest <= Duration::from_secs(5), "{longest:?}");
        reconnect.worked();
        assert!(reconnect.after_failure() <= Duration::from_millis(200));
    }
}
