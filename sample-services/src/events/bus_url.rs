//! `BUS_URL`: which bus carries the events. A password in it is never shown.

use std::fmt;

use thiserror::Error;

/// Brokers of Kafka that one URL may name; the rest is learned from them.
const BROKERS_MAX: usize = 16;

/// Which bus, and where it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum BusUrl {
    /// No broker: events go over HTTP from the publisher's outbox to the consumers in the registry.
    #[default]
    Http,
    /// A RabbitMQ broker, by its `amqp://` or `amqps://` URL.
    RabbitMq(String),
    /// Brokers of a Kafka cluster, as `host:port`.
    Kafka(Vec<String>),
}

/// A URL that names no bus.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadBusUrl {
    /// The scheme is none of ours.
    #[error(
        "BUS_URL is none of amqp://…, amqps://… and kafka://HOST:PORT[,HOST:PORT]; unset, events go over HTTP"
    )]
    Scheme,
    /// There is no host to connect to.
    #[error("BUS_URL names no broker; write amqp://HOST:PORT or kafka://HOST:PORT[,HOST:PORT]")]
    NoHost,
    /// More brokers than anybody needs to begin with.
    #[error("BUS_URL names more than {BROKERS_MAX} brokers; the rest is learned from the first that answers")]
    TooMany,
}

impl BusUrl {
    /// Reads the URL; an empty one means no broker.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, BadBusUrl> {
        if text.is_empty() {
            return Ok(Self::Http);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadBusUrl::Scheme)?;
        match scheme {
            "amqp" | "amqps" => {
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let host = authority.rsplit('@').next().unwrap_or_default();
                if host.is_empty() { Err(BadBusUrl::NoHost) } else { Ok(Self::RabbitMq(text.to_owned())) }
            }
            "kafka" => {
                let brokers: Vec<String> =
                    rest.trim_end_matches('/').split(',').map(|broker| broker.trim().to_owned()).collect();
                if brokers.len() > BROKERS_MAX {
                    return Err(BadBusUrl::TooMany);
                }
                if brokers.iter().all(|broker| is_host_and_port(broker)) {
                    Ok(Self::Kafka(brokers))
                } else {
                    Err(BadBusUrl::NoHost)
                }
            }
            _ => Err(BadBusUrl::Scheme),
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("Http"),
            Self::RabbitMq(_) => f.write_str("RabbitMq(***)"),
            Self::Kafka(brokers) => f.debug_tuple("Kafka").field(brokers).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_says_which_bus() {
        assert_eq!(BusUrl::parse(""), Ok(BusUrl::Http));
        let amqp = "amqp://shop:s3cret@localhost:5672/%2f";
        assert_eq!(BusUrl::parse(amqp), Ok(BusUrl::RabbitMq(amqp.to_owned())));
        let brokers = BusUrl::Kafka(vec!["a:9092".to_owned(), "b:9093".to_owned()]);
        assert_eq!(BusUrl::parse("kafka://a:9092,b:9093"), Ok(brokers));
    }

    #[test]
    fn what_names_no_bus_is_refused_with_the_way_out() {
        assert_eq!(BusUrl::parse("redis://x"), Err(BadBusUrl::Scheme));
        assert_eq!(BusUrl::parse("localhost"), Err(BadBusUrl::Scheme));
        assert_eq!(BusUrl::parse("amqp://user:pass@"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse("kafka://a"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse("kafka://"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse(&format!("kafka://{}a:1", "a:1,".repeat(16))), Err(BadBusUrl::TooMany));
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = BusUrl::parse("amqp://shop:s3cret@localhost").unwrap();
        assert!(!format!("{url:?}").contains("s3cret"));
    }
}
