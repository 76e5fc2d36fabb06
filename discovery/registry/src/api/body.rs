//! Request bodies: bounded reading, and JSON as Consul reads it.
//! Keys match in any letter case and in snake case; an unknown key is refused, and so is one that this registry
//! cannot honour, unless it is empty.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::limits::{BODY_BYTES_MAX, BODY_READ_TIME};

/// Reads at most `max` bytes.
pub(super) async fn read(body: Incoming, max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let text = format!("Request body too large. Max allowed is {max} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    match tokio::time::timeout(BODY_READ_TIME, Limited::new(body, max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::bad_request(format!("Request body could not be read: {error}"))),
        Err(_elapsed) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "Request body took too long")),
    }
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
                None => value,
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
    fn bad_json_and_unknown_keys_are_refused_in_the_words_of_go() {
        assert_eq!(check("").unwrap_err(), "EOF");
        assert!(check("{").is_err());
        assert!(check("[]").is_err());
        assert_eq!(check(r#"{"Nmae":"web"}"#).unwrap_err(), r#"json: unknown field "Nmae""#);
        assert!(check(r#"{"Name":7}"#).is_err());
    }
}
