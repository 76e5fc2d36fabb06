//! What carries the shop's events: the services themselves, or a broker that somebody runs already.
//!
//! Reads the URL as far as it takes to find the broker and to name it; the services read the rest.
//! A password in it goes to the services and is never shown.

use std::fmt;
use std::time::Duration;

use http::uri::Authority;
use tokio::net::TcpStream;

use super::broken::Broken;

/// Longest wait for a broker to take a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Brokers of Kafka that one URL may name.
const BROKERS_MAX: usize = 16;
/// What a URL is, when it is none.
const EXPECTED: &str = "write amqp://HOST:PORT, amqps://HOST:PORT or kafka://HOST:PORT[,HOST:PORT]";

/// A broker that is running already.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Broker {
    kind: &'static str,
    /// As it was given, for the services.
    url: String,
    /// Where it is, `host:port` each.
    doors: Vec<String>,
}

/// Without the URL: it may hold a password.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("kind", &self.kind).field("doors", &self.doors).finish_non_exhaustive()
    }
}

/// A broker by its URL.
///
/// # Errors
/// What is wrong with it, without repeating it, and how it is written.
pub(super) fn broker(url: &str) -> Result<Broker, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("no scheme; {EXPECTED}"))?;
    let (kind, doors) = match scheme {
        "amqp" => ("RabbitMQ", vec![amqp(rest, 5672)?]),
        "amqps" => ("RabbitMQ", vec![amqp(rest, 5671)?]),
        "kafka" => ("Kafka", kafka(rest)?),
        _ => return Err(format!("no such bus; {EXPECTED}")),
    };
    Ok(Broker { kind, url: url.to_owned(), doors })
}

fn amqp(rest: &str, usual_port: u16) -> Result<String, String> {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority: Authority = authority.parse().map_err(|_| format!("no broker in it; {EXPECTED}"))?;
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(usual_port)))
}

fn kafka(rest: &str) -> Result<Vec<String>, String> {
    let doors: Vec<String> =
        rest.trim_end_matches('/').split(',').map(|door| door.trim().to_owned()).collect();
    let is_door = |door: &String| door.parse::<Authority>().is_ok_and(|door| door.port_u16().is_some());
    if doors.len() > BROKERS_MAX {
        return Err(format!(
            "more than {BROKERS_MAX} brokers; the rest is learned from the first that answers"
        ));
    }
    if doors.iter().all(is_door) { Ok(doors) } else { Err(format!("a broker without a port; {EXPECTED}")) }
}

impl Broker {
    /// What the services are given.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it is and where, for people.
    pub(super) fn describe(&self) -> String {
        format!("{} at {}", self.kind, self.doors.join(", "))
    }

    /// Looks whether somebody is there: one of the doors is enough.
    ///
    /// # Errors
    /// Which broker cannot be reached, why, and what to do.
    pub(super) async fn reach(&self) -> Result<(), Broken> {
        let mut seen = Vec::new();
        for door in &self.doors {
            match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(door)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => seen.push(format!("{door}: {error}")),
                Err(_) => seen.push(format!("{door}: no answer within {CONNECT_WAIT:?}")),
            }
        }
        Err(Broken::new(format!(
            "{} cannot be reached ({}); start it, correct --bus, or leave --bus out: events go without a broker then",
            self.describe(),
            seen.join("; ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_which_broker_and_where() {
        let told = |url: &str| broker(url).unwrap().describe();
        assert_eq!(told("amqp://shop:s3cret@mq/%2f"), "RabbitMQ at mq:5672");
        assert_eq!(told("amqps://mq:5679"), "RabbitMQ at mq:5679");
        assert_eq!(told("kafka://a:9092,b:9093"), "Kafka at a:9092, b:9093");
        assert_eq!(told("kafka://[::1]:9092"), "Kafka at [::1]:9092");
    }

    #[test]
    fn what_is_no_broker_is_answered_with_what_is() {
        for url in
            ["mq:5672", "redis://x:1", "amqp://", "kafka://", "kafka://a", "kafka://a:9092,", "amqp://a b"]
        {
            let told = broker(url).unwrap_err();
            assert!(told.contains("amqp://HOST:PORT"), "{url}: {told}");
        }
        assert!(broker(&format!("kafka://{}a:1", "a:1,".repeat(16))).unwrap_err().contains("more than 16"));
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_named_without_its_password() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let door = super::super::ports::free_port().unwrap();
        let broker = broker(&format!("amqp://shop:s3cret@{door}")).unwrap();
        let told = format!("{} {broker:?}", broker.reach().await.unwrap_err());
        assert!(told.contains(&door.to_string()) && told.contains("--bus"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
        let listener = tokio::net::TcpListener::bind(door).await.unwrap();
        assert_eq!(broker.reach().await, Ok(()));
        drop(listener);
    }
}
