//! Driving what nobody drives any more: orders whose driver died, or whose partner was away.
//!
//! Each order that is not settled comes up again, ever more seldom; two instances share the work by
//! claiming an order before they drive it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;
use tracing::Instrument;

use super::drive::Driver;
use super::records::Due;
use crate::chance::roll;
use crate::clock;
use crate::events::Backoff;
use crate::store::StoreError;

/// Time between two sweeps, up to as much again by chance.
const EVERY: Duration = Duration::from_millis(500);
/// Orders of one sweep.
const SWEPT_MAX: i64 = 64;
/// Orders that are driven at the same time.
const AT_ONCE: usize = 8;
/// How long an order is left alone that a sweep could not settle.
const BACKOFF: Backoff = Backoff { first_ms: 4_000, max_ms: 30_000 };
/// The least of it: whoever claimed it has to have the time to drive it.
const LEFT_ALONE_MS: i64 = 1_000;

/// Sweeps until `stop` turns true.
pub(super) async fn run(driver: Arc<Driver>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = sweep(&driver).await {
            tracing::warn!(%error, "unsettled orders cannot be read");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY.mul_f64(1.0 + roll())) => {}
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
}

pub(super) async fn sweep(driver: &Driver) -> Result<(), StoreError> {
    let due = driver.records().due(clock::now_ms(), SWEPT_MAX).await?;
    stream::iter(due).for_each_concurrent(AT_ONCE, |due| one(driver, due)).await;
    Ok(())
}

async fn one(driver: &Driver, due: Due) {
    let next_at_ms = clock::now_ms() + LEFT_ALONE_MS + BACKOFF.wait_ms(due.tries.saturating_add(1), roll());
    let order = match driver.records().claim(&due, next_at_ms).await {
        Ok(true) => driver.records().find(&due.id).await,
        Ok(false) => return,
        Err(error) => Err(error),
    };
    let span = match order {
        Ok(Some(order)) => order.trace().span(),
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(order = %due.id, %error, "an unsettled order cannot be claimed");
            return;
        }
    };
    let drive = async {
        match driver.drive(&due.id).await {
            Ok(driven) => {
                let note = driven.note.as_deref();
                tracing::info!(order = %due.id, state = %driven.order.state, note, tries = due.tries, "order swept");
            }
            Err(error) => tracing::warn!(order = %due.id, %error, "an unsettled order cannot be driven"),
        }
    };
    drive.instrument(span).await;
}
