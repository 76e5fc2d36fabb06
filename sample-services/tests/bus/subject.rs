//! A broker under test, and publishing through it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_brokers::{Broker, Kind};
use portcullis_sample_services::events::{Bus, BusUrl, Event, connect};
use serde_json::Value;
use uuid::Uuid;

/// Longest wait for anything that has to happen.
pub(crate) const WAIT: Duration = Duration::from_secs(90);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Subject {
    broker: Option<Broker>,
    url: BusUrl,
    kind: Kind,
}

impl Subject {
    /// `None` if the broker is not installed, which is said loudly.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        let broker =
            tokio::task::spawn_blocking(move || Broker::start_or_skip(kind)).await.unwrap().unwrap()?;
        let url = match kind {
            Kind::RabbitMq => broker.url().to_owned(),
            // A dead member of a group is given up sooner than on a production cluster.
            Kind::Kafka => format!("{}?session.timeout.ms=2000&heartbeat.interval.ms=500", broker.url()),
        };
        Some(Self { broker: Some(broker), url: BusUrl::parse(&url).unwrap(), kind })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// A bus of its own, as each process has one.
    pub(crate) fn bus(&self) -> Arc<dyn Bus> {
        connect(&self.url, || unreachable!("the URL names a broker")).unwrap()
    }

    /// Waits until the broker would know the queue or topic of a service after it was killed.
    ///
    /// RabbitMQ keeps the names of its quorum queues in a table that it writes half a second after the last
    /// change. A queue that was declared within that time is there after a crash, and without a leader for ever.
    pub(crate) async fn remembers(&self, service: &str) {
        let folder = self.broker.as_ref().unwrap().folder().join("data");
        match self.kind {
            Kind::Kafka => {}
            Kind::RabbitMq => {
                until("the queue to be on disk", || has_name(&folder, service.as_bytes())).await
            }
        }
    }

    /// Kills the broker and starts it again on its data.
    pub(crate) async fn kill_and_restart(&mut self) {
        let mut broker = self.broker.take().unwrap();
        let restarted = tokio::task::spawn_blocking(move || {
            broker.kill();
            broker.start_again().unwrap();
            broker
        });
        self.broker = Some(restarted.await.unwrap());
    }
}

pub(crate) fn event(kind: &str, key: &str, n: i64) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind: kind.to_owned(),
        key: key.to_owned(),
        at_ms: n,
        request_id: Some(format!("request-{n}")),
        traceparent: None,
        data: Value::Null,
    }
}

/// Publishes until the bus says that it has taken the event, as the relay does.
pub(crate) async fn publish(bus: &dyn Bus, event: &Event) {
    let mut last = None;
    let taken = async {
        while let Err(error) = bus.publish(event).await {
            last = Some(error);
            tokio::time::sleep(POLL).await;
        }
    };
    let taken = tokio::time::timeout(WAIT, taken).await;
    assert!(taken.is_ok(), "{bus:?} did not take an event within {WAIT:?}: {last:?}");
}

/// Polls until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(POLL).await;
        }
    };
    assert!(tokio::time::timeout(WAIT, held).await.is_ok(), "waited in vain for {what}");
}

/// Whether a table of names anywhere in `folder` has this one.
fn has_name(folder: &Path, name: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return has_name(&path, name);
        }
        path.ends_with("names.dets")
            && std::fs::read(&path).is_ok_and(|text| text.windows(name.len()).any(|part| part == name))
    })
}
