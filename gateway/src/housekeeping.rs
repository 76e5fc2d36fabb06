//! Small work on a timer: forgetting the keys of limits that are full again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock;
use crate::live::Live;

/// How often limits are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Sweeps for as long as the process lives.
pub(crate) async fn run(live: Arc<ArcSwap<Live>>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for limit in &live.load_full().snapshot.limits {
            limit.sweep(clock::now());
        }
    }
}
