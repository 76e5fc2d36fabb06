//! What carries the shop's events: the services themselves, or a broker that somebody runs already.
//!
//! Reads the URL as far as it takes to find the broker and to name it; the services read the rest.
//! A password in it goes to the services and is never shown.

use std::fmt;
use std::time::Duration;

use http::uri::Authority;
use serde_json::Value;

use super::broken::Broken;
use super::ports::knock;
use super::services::Instance;
use super::wait::until;

/// Longest wait for a service to be let in by a broker. A client of Kafka is silent for its own ten seconds first.
const TAKEN_WAIT: Duration = Duration::from_secs(15);
/// What a service logs when its events come from the broker, and when they do not; the broker's name follows.
const TAKEN: &str = "events are taken from ";
const NOT_TAKEN: &str = "no events from ";
/// A service that was told the same so many times in a row will be told it again. Its tries are less than a second apart.
const SAME_MIN: usize = 5;
/// What to look at then.
const HELP: &str =
    "is what --bus says right: user, password, virtual host? Without --bus events go without a broker";
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

/// The settings behind the `?` are for the services.
fn kafka(rest: &str) -> Result<Vec<String>, String> {
    let authority = rest.split('?').next().unwrap_or_default();
    let doors: Vec<String> =
        authority.trim_end_matches('/').split(',').map(|door| door.trim().to_owned()).collect();
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
            match knock(door).await {
                Ok(()) => return Ok(()),
                Err(why) => seen.push(format!("{door}: {why}")),
            }
        }
        Err(Broken::new(format!(
            "{} cannot be reached ({}); start it, correct --bus, or leave --bus out: events go without a broker then",
            self.describe(),
            seen.join("; ")
        )))
    }

    /// Waits until a service is let in and takes its events: a door that opens says nothing of the password.
    ///
    /// # Errors
    /// What the service said last, and what to look at.
    pub(super) async fn lets_in(&self, instance: &Instance) -> Result<(), Broken> {
        let name = &instance.process.name;
        let what = format!("{name} to take events from {}", self.describe());
        let taken = until(&what, TAKEN_WAIT, async || match taken(&instance.process.lines()) {
            Taken::Yes => Ok(Ok(())),
            Taken::NotYet(why) => Err(why),
            Taken::Refused(why) => {
                Ok(Err(Broken::new(format!("{name} cannot take events from {}: {why}", self.describe()))))
            }
        });
        taken.await.flatten().map_err(|broken| Broken::new(format!("{broken}; {HELP}")).see(name))
    }
}

/// Whether a service takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    Yes,
    /// What it said last.
    NotYet(String),
    /// It was told so, again and again.
    Refused(String),
}

/// By what it logged.
fn taken(lines: &[Value]) -> Taken {
    let said = |line: &&Value, words: &str| {
        line.get("msg").and_then(Value::as_str).is_some_and(|text| text.starts_with(words))
    };
    if lines.iter().any(|line| said(&line, TAKEN)) {
        return Taken::Yes;
    }
    let why = |line: &Value| line.pointer("/fields/error").and_then(Value::as_str).map(str::to_owned);
    let reasons: Vec<String> = lines.iter().filter(|line| said(line, NOT_TAKEN)).filter_map(why).collect();
    let Some(last) = reasons.last() else {
        return Taken::NotYet("no word of the broker in its log".to_owned());
    };
    let n_same = reasons.iter().rev().take_while(|reason| *reason == last).count();
    let last = last.trim_end_matches('.').to_owned();
    if n_same >= SAME_MIN { Taken::Refused(last) } else { Taken::NotYet(last) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_url_says_which_broker_and_where() {
        let told = |url: &str| broker(url).unwrap().describe();
        assert_eq!(told("amqp://shop:s3cret@mq/%2f"), "RabbitMQ at mq:5672");
        assert_eq!(told("amqps://mq:5679"), "RabbitMQ at mq:5679");
        assert_eq!(told("kafka://a:9092,b:9093"), "Kafka at a:9092, b:9093");
        assert_eq!(told("kafka://[::1]:9092"), "Kafka at [::1]:9092");
        assert_eq!(told("kafka://a:9092,b:9093/?sasl.password=s3cret"), "Kafka at a:9092, b:9093");
    }

    #[test]
    fn a_service_takes_events_when_its_log_says_so_and_says_why_it_does_not() {
        let line = |msg: &str, error: &str| json!({ "msg": msg, "fields": { "error": error } });
        let refused = line("no events from RabbitMQ; trying on", "ACCESS_REFUSED");
        assert!(matches!(taken(&[line("serving", "")]), Taken::NotYet(_)));
        assert_eq!(
            taken(&[line("serving", ""), refused.clone()]),
            Taken::NotYet("ACCESS_REFUSED".to_owned())
        );
        let mut lines = vec![refused; SAME_MIN];
        assert_eq!(taken(&lines), Taken::Refused("ACCESS_REFUSED".to_owned()));
        lines.push(line("no events from RabbitMQ; trying on", "no answer"));
        assert_eq!(taken(&lines), Taken::NotYet("no answer".to_owned()));
        lines.push(line("events are taken from RabbitMQ", ""));
        assert_eq!(taken(&lines), Taken::Yes);
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
