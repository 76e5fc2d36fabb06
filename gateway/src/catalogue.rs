//! What the registry offers, routed or not, for people who look.
//!
//! One bounded read at a time, kept for a moment: looking often costs the registry nothing more. When it does not
//! answer, what it said last is shown with why.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::units::Moment;
use portcullis_discovery::{OfferedService, Source};
use tokio::sync::Semaphore;

use crate::clock;

/// How long an answer is shown again.
const FRESH: Duration = Duration::from_secs(5);

/// The last look at the registry.
#[derive(Debug)]
pub struct Catalogue {
    /// One reads, the others wait for what it brings.
    reading: Semaphore,
    last: Mutex<Option<Look>>,
}

/// What was seen, and when.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// What the registry offers; what it last said if it did not answer now.
    pub(crate) services: Arc<Vec<OfferedService>>,
    /// When it was asked.
    at: Moment,
    /// When it last answered, since 1970.
    pub(crate) answered: Option<Duration>,
    /// Why it did not answer now.
    pub(crate) trouble: Option<String>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { reading: Semaphore::new(1), last: Mutex::default() }
    }
}

impl Catalogue {
    /// What `source` offers, as of at most [`FRESH`] ago.
    pub(crate) async fn look(&self, source: &dyn Source) -> Look {
        // Closed never; without a permit two would read at once, which is no harm.
        let _permit = self.reading.acquire().await;
        let last = self.last();
        let now = clock::now();
        if let Some(fresh) = last.as_ref().filter(|last| now.saturating_since(last.at) < FRESH) {
            return fresh.clone();
        }
        let look = match source.offered().await {
            Ok(services) => {
                let answered = Some(clock::since_epoch());
                Look { services: Arc::new(services), at: now, answered, trouble: None }
            }
            Err(trouble) => Look {
                services: last.as_ref().map(|last| last.services.clone()).unwrap_or_default(),
                at: now,
                answered: last.and_then(|last| last.answered),
                trouble: Some(trouble),
            },
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look.clone());
        look
    }

    fn last(&self) -> Option<Look> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
