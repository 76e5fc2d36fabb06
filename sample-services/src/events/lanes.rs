//! Between a broker's stream of deliveries and the handler: several lanes side by side, each in order.
//!
//! A delivery goes to the lane that its key picks, so events of one key are handled one by one while
//! another key waits for its turn to be repeated. A delivery is acknowledged when the handler has dealt
//! with it, never before; one whose lane is cut is left to the broker, which hands it out again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{BadEvent, Event, Handler, Retry, Subscription};

/// Lanes side by side.
const LANES: usize = 8;
/// Deliveries that wait in one lane; with more the stream waits.
const LANE_DEPTH: usize = 8;
/// Deliveries that all lanes hold, waiting and being handled.
#[cfg(any(feature = "rabbitmq", test))]
pub(super) const DELIVERIES_MAX: u16 = 64;
/// Longest wait before an event is handed in again, whatever the handler asks for.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Tells the broker that a delivery was dealt with.
#[async_trait]
pub(super) trait Receipt: Send + 'static {
    /// An acknowledgement that gets lost means that the event comes again, which the inbox knows.
    async fn acknowledge(self);
}

/// What a broker handed over.
pub(super) struct Delivery<R> {
    /// As it came off the wire.
    pub(super) bytes: Vec<u8>,
    pub(super) receipt: R,
}

/// Lanes that belong to one connection.
pub(super) struct Lanes<R> {
    lanes: Vec<mpsc::Sender<Parcel<R>>>,
    tasks: JoinSet<()>,
    cut: watch::Sender<bool>,
}

/// A delivery that was read.
struct Parcel<R> {
    read: Result<Event, (Vec<u8>, BadEvent)>,
    receipt: R,
}

impl<R: Receipt> Lanes<R> {
    pub(super) fn open(subscription: Subscription, handler: &Arc<dyn Handler>) -> Self {
        let (cut, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let lanes = (0..LANES).map(|_| {
            let (lane, parcels) = mpsc::channel(LANE_DEPTH);
            tasks.spawn(work(parcels, subscription, Arc::clone(handler), cut.subscribe()));
            lane
        });
        Self { lanes: lanes.collect(), tasks, cut }
    }

    /// Puts a delivery into the lane of its key; waits while that lane is full.
    #[cfg(any(feature = "rabbitmq", test))]
    pub(super) async fn put(&self, delivery: Delivery<R>) {
        let parcel = Parcel::open(delivery);
        let lane = parcel.read.as_ref().map_or(0, |event| hash(&event.key));
        self.send(lane, parcel).await;
    }

    /// Puts a delivery into a lane that the broker's own order picks; waits while that lane is full.
    #[cfg(any(feature = "kafka", test))]
    pub(super) async fn put_in(&self, lane: u64, delivery: Delivery<R>) {
        self.send(lane, Parcel::open(delivery)).await;
    }

    async fn send(&self, lane: u64, parcel: Parcel<R>) {
        // The remainder is less than LANES.
        let lane = usize::try_from(lane % LANES as u64).unwrap_or(0);
        if let Some(lane) = self.lanes.get(lane) {
            // A lane ends only when the lanes are closed.
            let _ = lane.send(parcel).await;
        }
    }

    /// Lets every handler finish what it is at, and leaves the rest to the broker.
    pub(super) async fn close(mut self) {
        let _ = self.cut.send(true);
        self.lanes.clear();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a handler of events gave up; its events come again");
            }
        }
    }
}

impl<R> Parcel<R> {
    fn open(delivery: Delivery<R>) -> Self {
        let read = Event::from_slice(&delivery.bytes).map_err(|why| (delivery.bytes, why));
        Self { read, receipt: delivery.receipt }
    }
}

#[cfg(any(feature = "rabbitmq", test))]
fn hash(key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

async fn work<R: Receipt>(
    mut parcels: mpsc::Receiver<Parcel<R>>,
    subscription: Subscription,
    handler: Arc<dyn Handler>,
    mut cut: watch::Receiver<bool>,
) {
    while let Some(parcel) = parcels.recv().await {
        if *cut.borrow() || !settle(&parcel.read, subscription, &*handler, &mut cut).await {
            return;
        }
        parcel.receipt.acknowledge().await;
    }
}

/// Hands a parcel in until it is dealt with; false if the lane was cut before.
async fn settle(
    read: &Result<Event, (Vec<u8>, BadEvent)>,
    subscription: Subscription,
    handler: &dyn Handler,
    cut: &mut watch::Receiver<bool>,
) -> bool {
    loop {
        let outcome: Result<(), Retry> = match read {
            // A queue or a topic may hold what an older version of the service asked for, or others do.
            Ok(event) if !subscription.wants(&event.kind) => Ok(()),
            Ok(event) => handler.handle(event).await,
            Err((bytes, why)) => handler.put_aside(bytes, why).await,
        };
        let Err(retry) = outcome else { return true };
        let key = read.as_ref().map_or("", |event| &event.key);
        tracing::warn!(service = subscription.service, key, why = %retry, "an event has to wait");
        tokio::select! {
            () = tokio::time::sleep(retry.after.min(AGAIN_MAX)) => {}
            _ = cut.wait_for(|cut| *cut) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const SUBSCRIPTION: Subscription = Subscription { service: "tester", kinds: &["order.paid"] };

    /// Remembers what it was given; says no to an event the first time if its data say so.
    #[derive(Debug, Default)]
    struct Memory {
        seen: Mutex<Vec<String>>,
        refused: Mutex<Vec<Uuid>>,
    }

    #[async_trait]
    impl Handler for Memory {
        async fn handle(&self, event: &Event) -> Result<(), Retry> {
            if event.data == json!("stubborn") || event.data == json!("never") {
                let mut refused = self.refused.lock().unwrap();
                if event.data == json!("never") || !refused.contains(&event.id) {
                    refused.push(event.id);
                    return Err(Retry { why: "not now".to_owned(), after: Duration::from_millis(5) });
                }
            }
            self.seen.lock().unwrap().push(format!("{} {}", event.key, event.at_ms));
            Ok(())
        }

        async fn put_aside(&self, bytes: &[u8], _: &BadEvent) -> Result<(), Retry> {
            self.seen.lock().unwrap().push(format!("aside {}", String::from_utf8_lossy(bytes)));
            Ok(())
        }
    }

    struct Slip(String, Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Receipt for Slip {
        async fn acknowledge(self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    type Acknowledged = Arc<Mutex<Vec<String>>>;

    fn event(key: &str, n: i64, data: &str) -> Vec<u8> {
        let event = Event {
            id: Uuid::now_v7(),
            kind: "order.paid".to_owned(),
            key: key.to_owned(),
            at_ms: n,
            request_id: None,
            traceparent: None,
            data: json!(data),
        };
        event.to_json().into_bytes()
    }

    /// Puts all in, waits until `n` are acknowledged, and tells what the handler saw.
    async fn run(deliveries: Vec<Vec<u8>>, n: usize) -> (Vec<String>, Vec<String>) {
        let memory = Arc::new(Memory::default());
        let handler: Arc<dyn Handler> = Arc::<Memory>::clone(&memory);
        let acknowledged = Acknowledged::default();
        let lanes = Lanes::open(SUBSCRIPTION, &handler);
        for (idx, bytes) in deliveries.into_iter().enumerate() {
            lanes.put(Delivery { bytes, receipt: Slip(idx.to_string(), Arc::clone(&acknowledged)) }).await;
        }
        let done = async {
            while acknowledged.lock().unwrap().len() < n {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), done).await.unwrap();
        lanes.close().await;
        let seen = memory.seen.lock().unwrap().clone();
        let acknowledged = acknowledged.lock().unwrap().clone();
        (seen, acknowledged)
    }

    #[tokio::test]
    async fn events_of_a_key_are_handled_in_order_however_often_one_has_to_wait() {
        let deliveries =
            vec![event("a", 1, "stubborn"), event("a", 2, ""), event("b", 1, ""), event("a", 3, "")];
        let (seen, _) = run(deliveries, 4).await;
        let of_a: Vec<&String> = seen.iter().filter(|line| line.starts_with('a')).collect();
        assert_eq!(of_a, ["a 1", "a 2", "a 3"]);
        assert!(seen.contains(&"b 1".to_owned()));
    }

    #[tokio::test]
    async fn what_is_not_dealt_with_is_not_acknowledged_and_nothing_behind_it_is() {
        let deliveries = vec![event("a", 1, ""), event("a", 2, "never"), event("a", 3, "")];
        let (seen, acknowledged) = run(deliveries, 1).await;
        assert_eq!(seen, ["a 1"]);
        assert_eq!(acknowledged, ["0"]);
    }

    #[tokio::test]
    async fn what_is_no_event_is_put_aside_and_what_nobody_asked_for_is_passed_over() {
        let mut other: serde_json::Value = serde_json::from_slice(&event("a", 1, "")).unwrap();
        other["kind"] = json!("order.created");
        let (seen, acknowledged) = run(vec![b"junk".to_vec(), other.to_string().into_bytes()], 2).await;
        assert_eq!(seen, ["aside junk"]);
        assert_eq!(acknowledged.len(), 2);
    }

    #[test]
    fn a_full_prefetch_fits_into_the_lanes() {
        assert!(usize::from(DELIVERIES_MAX) <= LANES * LANE_DEPTH);
    }

    #[tokio::test]
    async fn a_lane_that_the_broker_picks_is_one_of_ours() {
        let handler: Arc<dyn Handler> = Arc::new(Memory::default());
        let lanes = Lanes::open(SUBSCRIPTION, &handler);
        let acknowledged = Acknowledged::default();
        for lane in [0, 7, 8, u64::MAX] {
            let receipt = Slip(lane.to_string(), Arc::clone(&acknowledged));
            lanes.put_in(lane, Delivery { bytes: event("a", 1, ""), receipt }).await;
        }
        let done = async {
            while acknowledged.lock().unwrap().len() < 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), done).await.unwrap();
    }
}
