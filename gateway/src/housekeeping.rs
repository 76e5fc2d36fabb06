//! Small work on a timer: forgetting the keys of limits that are full again, and giving memory back.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock;
use crate::live::Live;

/// How often limits are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What is taken from the allocator and given back at once. It returns memory that was freed some
/// time ago only when it is used again: an idle gateway would hold on to the text of its configuration.
const STIRRED_BYTES: usize = 4 << 20;

/// Sweeps for as long as the process lives.
pub(crate) async fn run(live: Arc<ArcSwap<Live>>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(STIRRED_BYTES)));
        for limit in &live.load_full().snapshot.limits {
            limit.sweep(clock::now());
        }
    }
}
