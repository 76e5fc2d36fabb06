//! The bus on RabbitMQ: one topic exchange, one quorum queue for each consuming service.
//!
//! An event is published when the broker confirms it *and* some queue took it: a message that no queue
//! wants comes back and is tried again. A queue has one active consumer, so that instances of a service
//! take turns and events of one key never meet themselves. Connections are made here, anew after each
//! loss: what was not acknowledged comes again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::BasicReturnMessage;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{
    Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
};
use tokio::sync::{Mutex, watch};

use super::lanes::{DELIVERIES_MAX, Delivery, Lanes, Receipt};
use super::reconnect::Reconnect;
use super::{Bus, BusError, Event, Handler, Subscription};
use crate::mischief::reached;

/// The exchange that all events of the shop go through.
const EXCHANGE: &str = "shop.events";
/// Longest wait for a connection to be made and its channel to be set up.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the broker to confirm an event.
const CONFIRM_WAIT: Duration = Duration::from_secs(10);
/// How often both sides show that they are alive, unless the URL says otherwise.
const HEARTBEAT_S: u16 = 10;
/// Longest wait for a good-bye to the broker.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// AMQP's code for an end without an error.
const REPLY_SUCCESS: u16 = 200;
/// A message that survives the broker.
const PERSISTENT: u8 = 2;

/// A broker, and the connection that events are published on.
pub(super) struct RabbitMq {
    uri: AMQPUri,
    publisher: Mutex<Option<Link>>,
}

/// A connection with one channel.
struct Link {
    channel: Channel,
    connection: Connection,
}

impl RabbitMq {
    /// A bus on the broker at `url`; connects when it is used.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let mut uri: AMQPUri = url.parse()?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self { uri, publisher: Mutex::default() })
    }

    async fn link(&self, purpose: &str) -> Result<Link, lapin::Error> {
        let properties = ConnectionProperties::default().with_connection_name(purpose.into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        Ok(Link { channel, connection })
    }

    /// The channel to publish on, of a connection that stands or is made now.
    async fn channel(&self) -> Result<Channel, String> {
        let mut publisher = self.publisher.lock().await;
        if let Some(link) = publisher.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(link.channel.clone());
        }
        let made = in_time(CONNECT_WAIT, async {
            let link = self.link("portcullis publisher").await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(link)
        });
        let link = made.await?;
        let channel = link.channel.clone();
        *publisher = Some(link);
        Ok(channel)
    }

    /// A publisher of which nothing is known any more: the next event makes another one.
    async fn forget_publisher(&self) {
        *self.publisher.lock().await = None;
    }

    async fn send(&self, event: &Event) -> Result<Confirmation, String> {
        let channel = self.channel().await?;
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(event.id.to_string().into())
            .with_type(event.kind.as_str().into());
        let body = event.to_json();
        in_time(CONFIRM_WAIT, async {
            let kind = event.kind.as_str().into();
            channel.basic_publish(EXCHANGE.into(), kind, mandatory, body.as_bytes(), properties).await?.await
        })
        .await
    }

    /// Consumes over one connection; returns when it is lost or `stop` turns true.
    async fn consume_once(
        &self,
        subscription: Subscription,
        handler: &Arc<dyn Handler>,
        stop: &mut watch::Receiver<bool>,
        reconnect: &mut Reconnect,
    ) -> Result<(), String> {
        let opened = tokio::select! {
            opened = in_time(CONNECT_WAIT, self.open(subscription)) => opened?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (link, mut consumer) = opened;
        reconnect.worked();
        tracing::info!(service = subscription.service, "events are taken from RabbitMQ");
        let lanes = Lanes::open(subscription, handler);
        let outcome = loop {
            let delivered = tokio::select! {
                delivered = consumer.next() => delivered,
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
            };
            match delivered {
                Some(Ok(message)) => {
                    // A full prefetch fits into the lanes: this does not wait.
                    lanes.put(Delivery { bytes: message.data, receipt: Tag(message.acker) }).await;
                }
                Some(Err(error)) => break Err(error.to_string()),
                None => break Err("the broker ended the subscription".to_owned()),
            }
        };
        lanes.close().await;
        // What was fetched and not dealt with goes back at once, to whoever consumes next.
        let _ = in_time(CLOSE_WAIT, link.connection.close(REPLY_SUCCESS, "stopped".into())).await;
        outcome
    }

    async fn open(&self, subscription: Subscription) -> Result<(Link, Consumer), lapin::Error> {
        let link = self.link(subscription.service).await?;
        let channel = &link.channel;
        let queue = format!("shop.{}", subscription.service);
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        for kind in subscription.kinds {
            let (queue, kind) = (queue.as_str().into(), (*kind).into());
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(queue, EXCHANGE.into(), kind, options, none).await?;
        }
        channel.basic_qos(DELIVERIES_MAX, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, none).await?;
        Ok((link, consumer))
    }
}

/// What a delivery is acknowledged by.
struct Tag(Acker);

#[async_trait]
impl Receipt for Tag {
    async fn acknowledge(self) {
        match self.0.ack(BasicAckOptions::default()).await {
            Ok(_) => reached("inbox.acknowledged"),
            Err(error) => tracing::debug!(%error, "an acknowledgement was lost; the event comes again"),
        }
    }
}

#[async_trait]
impl Bus for RabbitMq {
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        let not_taken = |why| BusError::NotTaken { whom: "RabbitMQ".to_owned(), why };
        match self.send(event).await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(returned))) => Err(unroutable(&returned, event)),
            Ok(Confirmation::Nack(_)) => Err(not_taken("the broker could not keep it".to_owned())),
            Ok(Confirmation::NotRequested) => {
                self.forget_publisher().await;
                Err(not_taken("the channel confirms nothing".to_owned()))
            }
            Err(why) => {
                self.forget_publisher().await;
                Err(not_taken(why))
            }
        }
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
                && !reconnect.wait("RabbitMQ", subscription.service, &error, &mut stop).await
            {
                return;
            }
        }
    }
}

fn unroutable(returned: &BasicReturnMessage, event: &Event) -> BusError {
    tracing::debug!(code = returned.reply_code, kind = event.kind, "no queue takes it");
    BusError::NobodyWants(event.kind.clone())
}

/// An error that lapin tells, or that nothing was told in time.
async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        write!(f, "RabbitMq({}:{})", authority.host, authority.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_debug_output() {
        let bus = RabbitMq::new("amqp://shop:s3cret@broker.example:5671/%2f").unwrap();
        assert_eq!(format!("{bus:?}"), "RabbitMq(broker.example:5671)");
    }

    #[test]
    fn a_heartbeat_is_asked_for_unless_the_url_names_one() {
        let heartbeat = |url| RabbitMq::new(url).unwrap().uri.query.heartbeat;
        assert_eq!(heartbeat("amqp://localhost"), Some(HEARTBEAT_S));
        assert_eq!(heartbeat("amqp://localhost?heartbeat=3"), Some(3));
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_its_password() {
        let error = RabbitMq::new("amqp://shop:s3cret@localhost:99999").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
