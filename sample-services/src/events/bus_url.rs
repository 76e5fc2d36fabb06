//! `BUS_URL`: which bus carries the events. A password in it is never shown.

use std::fmt;

use thiserror::Error;

/// Brokers of Kafka that one URL may name; the rest is learned from them.
const BROKERS_MAX: usize = 16;
/// Settings of Kafka's client that one URL may name.
const SETTINGS_MAX: usize = 32;

/// Which bus, and where it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum BusUrl {
    /// No broker: events go over HTTP from the publisher's outbox to the consumers in the registry.
    #[default]
    Http,
    /// A RabbitMQ broker, by its `amqp://` or `amqps://` URL.
    RabbitMq(String),
    /// A Kafka cluster.
    Kafka {
        /// Some of its brokers, as `host:port`.
        brokers: Vec<String>,
        /// Settings of the client, from the query of the URL.
        settings: Vec<(String, String)>,
    },
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
    /// The part after the `?` cannot be read.
    #[error(
        "BUS_URL's settings are NAME=VALUE[&NAME=VALUE], percent-encoded, at most {SETTINGS_MAX}, such as kafka://HOST:PORT?session.timeout.ms=10000"
    )]
    Settings,
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
            "kafka" => kafka(rest),
            _ => Err(BadBusUrl::Scheme),
        }
    }
}

fn kafka(rest: &str) -> Result<BusUrl, BadBusUrl> {
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let brokers: Vec<String> =
        authority.trim_end_matches('/').split(',').map(|broker| broker.trim().to_owned()).collect();
    if brokers.len() > BROKERS_MAX {
        return Err(BadBusUrl::TooMany);
    }
    if !brokers.iter().all(|broker| is_host_and_port(broker)) {
        return Err(BadBusUrl::NoHost);
    }
    // Any host will do: what is wanted is how a URL writes a query.
    let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).map_err(|_| BadBusUrl::Settings)?;
    let settings: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if settings.len() > SETTINGS_MAX
        || settings.iter().any(|(name, value)| name.is_empty() || value.is_empty())
    {
        return Err(BadBusUrl::Settings);
    }
    Ok(BusUrl::Kafka { brokers, settings })
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("Http"),
            Self::RabbitMq(_) => f.write_str("RabbitMq(***)"),
            Self::Kafka { brokers, .. } => f.debug_tuple("Kafka").field(brokers).finish(),
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
        let brokers = vec!["a:9092".to_owned(), "b:9093".to_owned()];
        let plain = BusUrl::Kafka { brokers: brokers.clone(), settings: Vec::new() };
        assert_eq!(BusUrl::parse("kafka://a:9092,b:9093"), Ok(plain));
        let settings = vec![("sasl.username".to_owned(), "a&b".to_owned())];
        assert_eq!(
            BusUrl::parse("kafka://a:9092,b:9093/?sasl.username=a%26b"),
            Ok(BusUrl::Kafka { brokers, settings })
        );
    }

    #[test]
    fn what_names_no_bus_is_refused_with_the_way_out() {
        assert_eq!(BusUrl::parse("redis://x"), Err(BadBusUrl::Scheme));
        assert_eq!(BusUrl::parse("localhost"), Err(BadBusUrl::Scheme));
        assert_eq!(BusUrl::parse("amqp://user:pass@"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse("kafka://a"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse("kafka://"), Err(BadBusUrl::NoHost));
        assert_eq!(BusUrl::parse("kafka://a:1?acks"), Err(BadBusUrl::Settings));
        assert_eq!(BusUrl::parse(&format!("kafka://{}a:1", "a:1,".repeat(16))), Err(BadBusUrl::TooMany));
    }

    #[test]
    fn a_password_is_not_shown() {
        for url in ["amqp://shop:s3cret@localhost", "kafka://a:1?sasl.password=s3cret"] {
            let url = BusUrl::parse(url).unwrap();
            assert!(!format!("{url:?}").contains("s3cret"));
        }
    }
}
