//! Request bodies: bounded reading, and JSON as Consul reads it.
//! Keys match in any letter case and in snake case; an unknown key is refused, and so is one that this registry
//! cannot honour, unless it is empty.

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::limits::{BODY_BYTES_MAX, BODY_DROP_BYTES_MAX, BODY_READ_TIME};

/// Reads at most `max` bytes.
pub(super) async fn read(body: Incoming, max: usize) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(BODY_READ_TIME, collect(body, max)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            let text = format!("Request body too large. Max allowed is {max} bytes.");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(error)) => Err(Problem::bad_request(format!("Request body could not be read: {error}"))),
        Err(_elapsed) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "Request body took too long")),
    }
}

/// `None` when there are more than `max` bytes. What is too much is read on for a while and dropped, because a client
/// that is still sending when the connection closes never sees why.
async fn collect(mut body: Incoming, max: usize) -> Result<Option<Vec<u8>>, hyper::Error> {
    let (mut kept, mut n_seen) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        n_seen = n_seen.saturating_add(data.len());
        if n_seen <= max {
            kept.extend_from_slice(&data);
        } else if n_seen > max.saturating_add(BODY_DROP_BYTES_MAX) {
            break;
        }
    }
    Ok((n_seen <= max).then_some(kept))
}

/// The keys of one JSON object.
#[derive(Debug)]
pub(super) struct Shape {
    /// Keys we honour, in our spelling.
    pub(super) known: &'static [&'static str],
    /// Keys that need nothing from us, whatever they say.
    pub(super) ignored: &'static [&'static str],
    /// Keys of Consul's that we cannot honour.
    pub(super) foreign: &'static [&'static str],
    /// Keys whose value is an object, or a list of objects, of another shape.
    pub(super) nested: &'static [(&'static str, &'static Shape)],
    /// The greatest number any key may hold; the least is 0. Consul takes any port, and hands out one that nobody can
    /// connect to.
    pub(super) number_max: Option<u64>,
}

/// Reads a JSON body of this shape.
pub(super) async fn json<T: DeserializeOwned>(body: Incoming, shape: &Shape) -> Result<T, Problem> {
    let bytes = read(body, BODY_BYTES_MAX).await?;
    decode(&bytes, shape).map_err(|why| Problem::bad_request(format!("Request decode failed: {why}")))
}

fn decode<T: DeserializeOwned>(bytes: &[u8], shape: &Shape) -> Result<T, String> {
    if bytes.is_empty() {
        return Err("EOF".to_owned());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let Value::Object(object) = value else {
        return Err("json: expected an object".to_owned());
    };
    let object = normal(object, shape)?;
    serde_json::from_value(Value::Object(object)).map_err(|error| format!("json: {error}"))
}

/// The same object with every key in our spelling.
fn normal(object: Map<String, Value>, shape: &Shape) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (key, value) in object {
        let find = |names: &'static [&'static str]| names.iter().find(|name| same(name, &key)).copied();
        if let Some(name) = find(shape.known) {
            let value = match shape.nested.iter().find(|(own, _)| *own == name) {
                Some((_, shape)) => nested(value, shape)?,
                None => bounded(name, value, shape.number_max)?,
            };
            out.insert(name.to_owned(), value);
        } else if let Some(name) = find(shape.foreign) {
            if !is_empty(&value) {
                return Err(format!("{name} is not supported by the embedded registry, run Consul for that"));
            }
        } else if find(shape.ignored).is_none() {
            return Err(format!("json: unknown field {key:?}"));
        }
    }
    Ok(out)
}

fn bounded(name: &str, value: Value, max: Option<u64>) -> Result<Value, String> {
    match (&value, max) {
        (Value::Number(number), Some(max)) if number.as_u64().is_none_or(|number| number > max) => {
            Err(format!("{name} must be between 0 and {max}, not {number}"))
        }
        _ => Ok(value),
    }
}

fn nested(value: Value, shape: &Shape) -> Result<Value, String> {
    match value {
        Value::Object(object) => Ok(Value::Object(normal(object, shape)?)),
        Value::Array(values) => {
            let values: Result<Vec<Value>, String> =
                values.into_iter().map(|value| nested(value, shape)).collect();
            Ok(Value::Array(values?))
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Ok(other),
    }
}

fn same(name: &str, key: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    plain(name) == plain(key)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_consul_wire::AgentServiceRegistration;

    use super::super::agent::SERVICE;
    use super::*;

    fn check(text: &str) -> Result<AgentServiceRegistration, String> {
        decode(text.as_bytes(), &SERVICE)
    }

    #[test]
    fn keys_match_in_any_case_and_in_snake_case() {
        let read = check(
            r#"{"id":"a","NAME":"web","enable_tag_override":true,
                "check":{"http":"http://x/","interval":"10s","deregister_critical_service_after":"1m"}}"#,
        )
        .unwrap();
        assert_eq!((read.id.as_str(), read.name.as_str(), read.enable_tag_override), ("a", "web", true));
        let check = read.check.unwrap();
        assert_eq!(check.http, "http://x/");
        assert!(check.deregister_critical_service_after.is_some());
    }

    #[test]
    fn what_we_cannot_honour_is_refused_by_name_and_its_empty_form_is_not() {
        assert!(check(r#"{"Name":"web","Connect":{"Native":true}}"#).unwrap_err().contains("Connect"));
        assert!(
            check(r#"{"Name":"web","Check":{"GRPC":"x","Interval":"1s"}}"#).unwrap_err().contains("GRPC")
        );
        assert!(check(r#"{"Name":"web","Connect":{"Native":false},"Proxy":null,"Kind":""}"#).is_ok());
    }

    #[test]
    fn ports_and_weights_out_of_range_are_refused_and_not_clamped() {
        assert!(
            check(r#"{"Name":"web","Port":99999}"#).unwrap_err().contains("Port must be between 0 and 65535")
        );
        assert!(check(r#"{"Name":"web","Port":-1}"#).is_err());
        assert!(check(r#"{"Name":"web","Weights":{"Passing":70000}}"#).is_err());
        assert!(check(r#"{"Name":"web","Port":65535,"Weights":{"Passing":65535,"Warning":0}}"#).is_ok());
    }

    #[test]
    fn bad_json_and_unknown_keys_are_refused_in_the_words_of_go() {
        assert_eq!(check("").unwrap_err(), "EOF");
        assert!(check("{").is_err());
        assert!(check("[]").is_err());
        assert_eq!(check(r#"{"Nmae":"web"}"#).unwrap_err(), r#"json: unknown field "Nmae""#);
        assert!(check(r#"{"Name":7}"#).is_err());
    }
}
