//! What a running gateway tells those who look, and the wishes it takes from inside.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;

use crate::events::Events;
use crate::live::Live;
use crate::revisions::Revisions;
use crate::stopping::Stopping;
use crate::telemetry::log_level::LogLevel;
use crate::telemetry::recent::{Collector, Recent};

/// The parts that people watch and reach into.
pub(super) struct Told {
    pub(super) events: Arc<Events>,
    pub(super) recent: Arc<Recent>,
    pub(super) log_level: Arc<LogLevel>,
    pub(super) stopping: Arc<Stopping>,
    collector: Collector,
}

impl Told {
    pub(super) fn new(log_level: Arc<LogLevel>) -> Self {
        let (recent, collector) = Recent::new();
        Self { events: Arc::default(), recent, log_level, stopping: Arc::default(), collector }
    }

    /// Starts what looks and puts away, for as long as the runtime lives.
    pub(super) fn start(self, runtime: &Runtime, live: Arc<ArcSwap<Live>>, revisions: &Revisions) {
        runtime.spawn(self.collector.run(self.recent));
        runtime.spawn(self.events.clone().hear(revisions.subscribe()));
        runtime.spawn(self.events.look(live));
        runtime.spawn(async move { self.log_level.run().await });
    }
}
