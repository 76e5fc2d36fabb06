//! From a [`BusUrl`] to the bus it names.

use std::sync::Arc;

use thiserror::Error;

use super::{Bus, BusUrl};

/// A bus that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The adapter was left out when the service was built.
    #[error(
        "BUS_URL names a {broker} broker, and this build is without it; build with `--features {feature}`"
    )]
    NotBuilt {
        /// What the URL names.
        broker: &'static str,
        /// The feature of the crate that brings it.
        feature: &'static str,
    },
    /// The adapter cannot use the URL.
    #[error("BUS_URL cannot be used: {0}")]
    Unusable(String),
}

/// The bus that `url` names; `without_broker` makes the one that needs none.
///
/// Nothing is connected yet: an adapter connects when it publishes or consumes, and again whenever
/// it has to, so that a service starts while its broker is away.
///
/// # Errors
/// When the adapter is not in this build or cannot use the URL.
pub fn connect(
    url: &BusUrl,
    without_broker: impl FnOnce() -> Arc<dyn Bus>,
) -> Result<Arc<dyn Bus>, ConnectError> {
    match url {
        BusUrl::Http => Ok(without_broker()),
        BusUrl::RabbitMq(url) => rabbitmq(url),
        BusUrl::Kafka { brokers, settings } => kafka(brokers, settings),
    }
}

#[cfg(feature = "rabbitmq")]
fn rabbitmq(url: &str) -> Result<Arc<dyn Bus>, ConnectError> {
    let bus = super::rabbitmq::RabbitMq::new(url).map_err(ConnectError::Unusable)?;
    Ok(Arc::new(bus))
}

#[cfg(not(feature = "rabbitmq"))]
fn rabbitmq(_: &str) -> Result<Arc<dyn Bus>, ConnectError> {
    Err(ConnectError::NotBuilt { broker: "RabbitMQ", feature: "rabbitmq" })
}

#[cfg(feature = "kafka")]
fn kafka(brokers: &[String], settings: &[(String, String)]) -> Result<Arc<dyn Bus>, ConnectError> {
    let bus = super::kafka::Kafka::new(brokers, settings).map_err(ConnectError::Unusable)?;
    Ok(Arc::new(bus))
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &[String], _: &[(String, String)]) -> Result<Arc<dyn Bus>, ConnectError> {
    Err(ConnectError::NotBuilt { broker: "Kafka", feature: "kafka" })
}
