//! The bus on Kafka: one topic, the key of an event picks its partition, one group a consuming service.
//!
//! The producer is idempotent and waits for all in-sync replicas. The topic is a log: whoever comes late
//! reads it from the beginning, so there is no event that nobody may want. An offset is stored after the
//! handler's `Ok` and committed soon after; what was handled and not committed comes again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use tokio::sync::{Mutex, OnceCell, watch};

use super::lanes::{Delivery, Lanes, Receipt};
use super::reconnect::Reconnect;
use super::{Bus, BusError, EVENT_BYTES_MAX, Event, Handler, Subscription};
use crate::mischief::reached;

/// The topic that all events of the shop go through.
const TOPIC: &str = "shop.events";
/// Partitions of the topic where it is made here: as many instances of a service can share the work.
const PARTITIONS: i32 = 6;
/// As many copies as the brokers make by default.
const REPLICATION_OF_BROKER: i32 = -1;
/// Longest wait for the brokers to make the topic.
const TOPIC_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the brokers to take an event.
const PUBLISH_WAIT: Duration = Duration::from_secs(10);
/// Without a sign of life for so long a consumer is given up for dead, and others take its part over.
const SESSION: Duration = Duration::from_secs(6);
/// Time between a handler's `Ok` and the commit of its offset.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// Longest wait between two tries of the client to reach a broker.
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Kibibytes of events that are fetched ahead.
const AHEAD_KIB: usize = 1024;

/// What the URL may not set: the promises of this bus hang on it.
const OURS: [&str; 10] = [
    "bootstrap.servers",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "transactional.id",
    "partitioner",
];

/// The brokers, and the producer that events are published by.
pub(super) struct Kafka {
    brokers: String,
    /// Settings of the client from the URL.
    settings: Vec<(String, String)>,
    producer: Mutex<Option<FutureProducer>>,
    topic: OnceCell<()>,
}

impl Kafka {
    /// A bus on these brokers; connects when it is used.
    pub(super) fn new(brokers: &[String], settings: &[(String, String)]) -> Result<Self, String> {
        if let Some((name, _)) = settings.iter().find(|(name, _)| OURS.contains(&name.as_str())) {
            return Err(format!("`{name}` cannot be set: the service sets it itself"));
        }
        let kafka = Self {
            brokers: brokers.join(","),
            settings: settings.to_vec(),
            producer: Mutex::default(),
            topic: OnceCell::new(),
        };
        // A setting that the client does not know is found now, not at the first event.
        let producer = kafka.make_producer().map_err(|error| error.to_string())?;
        Ok(Self { producer: Mutex::new(Some(producer)), ..kafka })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "portcullis-shop")
            .set("reconnect.backoff.max.ms", millis(RECONNECT_MAX))
            .set("topic.metadata.refresh.interval.ms", "30000");
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    fn make_producer(&self) -> Result<FutureProducer, KafkaError> {
        let mut config = self.config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            // As Kafka's own clients do, whatever language a publisher is written in.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", millis(PUBLISH_WAIT))
            .set("message.max.bytes", (2 * EVENT_BYTES_MAX).to_string());
        config.create()
    }

    fn make_consumer(&self, subscription: Subscription) -> Result<StreamConsumer, KafkaError> {
        let mut config = self.config();
        if !self.settings.iter().any(|(name, _)| name == "session.timeout.ms") {
            config.set("session.timeout.ms", millis(SESSION));
        }
        config
            .set("group.id", format!("shop.{}", subscription.service))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", millis(COMMIT_EVERY))
            .set("queued.max.messages.kbytes", AHEAD_KIB.to_string());
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[TOPIC])?;
        Ok(consumer)
    }

    /// Makes the topic if it is missing, once.
    async fn topic(&self) -> Result<(), String> {
        self.topic.get_or_try_init(|| self.make_topic()).await?;
        Ok(())
    }

    async fn make_topic(&self) -> Result<(), String> {
        let admin: AdminClient<DefaultClientContext> =
            self.config().create().map_err(|error| error.to_string())?;
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(REPLICATION_OF_BROKER));
        let options =
            AdminOptions::new().request_timeout(Some(TOPIC_WAIT)).operation_timeout(Some(TOPIC_WAIT));
        let made = admin.create_topics([&topic], &options).await.map_err(|error| error.to_string())?;
        match made.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((topic, error))) => Err(format!("the topic {topic} cannot be made: {error}")),
            None => Err("the brokers said nothing of the topic".to_owned()),
        }
    }

    async fn producer(&self) -> Result<FutureProducer, String> {
        let mut producer = self.producer.lock().await;
        match &*producer {
            Some(producer) => Ok(producer.clone()),
            None => {
                let made = self.make_producer().map_err(|error| error.to_string())?;
                *producer = Some(made.clone());
                Ok(made)
            }
        }
    }

    async fn send(&self, event: &Event) -> Result<(), String> {
        self.topic().await?;
        let producer = self.producer().await?;
        let body = event.to_json();
        let record = FutureRecord::to(TOPIC).key(&event.key).payload(&body);
        match producer.send(record, Timeout::After(PUBLISH_WAIT)).await {
            Ok(_) => Ok(()),
            Err((error, _)) => {
                // A producer whose sequence is broken says so once and takes nothing any more.
                if producer.client().fatal_error().is_some() {
                    *self.producer.lock().await = None;
                }
                Err(error.to_string())
            }
        }
    }

    /// Consumes with one member of the group; returns when that cannot go on or `stop` turns true.
    async fn consume_once(
        &self,
        subscription: Subscription,
        handler: &Arc<dyn Handler>,
        stop: &mut watch::Receiver<bool>,
        reconnect: &mut Reconnect,
    ) -> Result<(), String> {
        tokio::select! {
            topic = self.topic() => topic?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let consumer = Arc::new(self.make_consumer(subscription).map_err(|error| error.to_string())?);
        tracing::info!(service = subscription.service, "events are taken from Kafka");
        let lanes = Lanes::open(subscription, handler);
        let outcome = loop {
            let delivered = tokio::select! {
                delivered = consumer.recv() => delivered,
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
            };
            match delivered {
                Ok(message) => {
                    reconnect.worked();
                    let bytes = message.payload().unwrap_or_default().to_vec();
                    let receipt = Offset {
                        consumer: Arc::clone(&consumer),
                        partition: message.partition(),
                        offset: message.offset(),
                    };
                    let put = lanes.put_in(lane(message.partition()), Delivery { bytes, receipt });
                    tokio::select! {
                        () = put => {}
                        _ = stop.wait_for(|stop| *stop) => break Ok(()),
                    }
                }
                Err(error) if consumer.client().fatal_error().is_some() => break Err(error.to_string()),
                // The client goes on by itself: it reconnects, and joins its group again.
                Err(error) => tracing::debug!(%error, "Kafka is not well"),
            }
        };
        lanes.close().await;
        leave(consumer).await;
        outcome
    }
}

/// Commits what was stored and leaves the group, so that others take over at once. That blocks.
async fn leave(consumer: Arc<StreamConsumer>) {
    let left = tokio::task::spawn_blocking(move || drop(consumer)).await;
    if let Err(error) = left {
        tracing::warn!(%error, "a consumer could not leave its group; its session ends soon");
    }
}

/// Events of one partition are handled in order: their offsets are a line, and so are their keys.
fn lane(partition: i32) -> u64 {
    u64::from(partition.unsigned_abs())
}

/// What a delivery is acknowledged by.
struct Offset {
    consumer: Arc<StreamConsumer>,
    partition: i32,
    offset: i64,
}

#[async_trait]
impl Receipt for Offset {
    async fn acknowledge(self) {
        match self.consumer.store_offset(TOPIC, self.partition, self.offset) {
            Ok(()) => reached("inbox.acknowledged"),
            Err(error) => tracing::debug!(%error, "the partition is another's now; it sees the event again"),
        }
    }
}

#[async_trait]
impl Bus for Kafka {
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        self.send(event).await.map_err(|why| BusError::NotTaken { whom: "Kafka".to_owned(), why })
    }

    async fn consume(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut reconnect = Reconnect::default();
        while !*stop.borrow() {
            let consumed = self.consume_once(subscription, &handler, &mut stop, &mut reconnect).await;
            if let Err(error) = consumed
                && !reconnect.wait("Kafka", subscription.service, &error, &mut stop).await
            {
                return;
            }
        }
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kafka({})", self.brokers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, value: &str) -> Result<Kafka, String> {
        Kafka::new(&["127.0.0.1:1".to_owned()], &[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_the_promises_hang_on_cannot_be_set() {
        for name in OURS {
            assert!(made(name, "0").unwrap_err().contains(name));
        }
    }

    #[test]
    fn a_setting_that_the_client_does_not_know_is_refused_by_name() {
        let error = made("sesion.timeout.ms", "1000").unwrap_err();
        assert!(error.contains("sesion.timeout.ms"), "{error}");
        assert!(made("session.timeout.ms", "1000").is_ok());
        let error = made("security.protocol", "ssl").unwrap_err();
        assert!(error.contains("security.protocol"), "{error}");
    }

    #[test]
    fn settings_are_in_no_debug_output() {
        let bus = made("sasl.password", "s3cret").unwrap();
        assert_eq!(format!("{bus:?}"), "Kafka(127.0.0.1:1)");
    }
}
