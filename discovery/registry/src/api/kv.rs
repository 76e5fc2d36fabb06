//! `/v1/kv`: read, write and delete keys.
//! Locks and sessions are not here; asking for them is refused.

use hyper::Method;
use serde_json::Value;

use super::reply::{Problem, Reply};
use super::{Ask, Outcome, body};
use crate::limits::VALUE_BYTES_MAX;
use crate::store::{Command, KvCondition, KvWrite, Query, View};

pub(super) async fn answer(raw_key: &str, ask: Ask) -> Outcome {
    let key = clean(raw_key);
    validate(&key)?;
    match ask.method {
        Method::PUT => put(key, ask).await,
        Method::DELETE => delete(key, &ask),
        _ => get(key, &ask).await,
    }
}

async fn get(key: String, ask: &Ask) -> Outcome {
    let recurse = ask.params.has("recurse");
    let query = if ask.params.has("keys") {
        // Consul has misspelled it once and accepts both since.
        let separator = ask.params.get("separator").or_else(|| ask.params.get("seperator"));
        Query::Keys { prefix: key.clone(), separator: separator.unwrap_or_default().to_owned() }
    } else if recurse {
        Query::Tree(key.clone())
    } else if key.is_empty() {
        return Err(Problem::bad_request("Missing key name"));
    } else {
        Query::Key(key.clone())
    };
    let (index, view) = ask.shared.answer(&query, ask.params.block()?).await?;
    let raw = ask.params.has("raw") && !recurse;
    let reply = match view {
        View::Keys(keys) if keys.is_empty() && !key.is_empty() => Reply::absent(),
        View::Keys(keys) => Reply::json(&keys)?,
        View::Pairs(pairs) if pairs.is_empty() => Reply::absent(),
        View::Pairs(pairs) if raw => {
            Reply::raw(pairs.into_iter().next().map(|pair| pair.value).unwrap_or_default())
        }
        View::Pairs(pairs) => Reply::json(&pairs)?,
        View::Entries(_) | View::Checks(_) | View::Names(_) | View::Services(_) | View::Nodes(_) => {
            Reply::absent()
        }
    };
    Ok(reply.read_at(index))
}

async fn put(key: String, ask: Ask) -> Outcome {
    if key.is_empty() {
        return Err(Problem::bad_request("Missing key name"));
    }
    let flags = ask.params.number("flags")?.unwrap_or_default();
    let condition = condition(&ask)?;
    let value = body::read(ask.body, VALUE_BYTES_MAX).await?;
    let changes = ask.shared.apply(Command::Put(KvWrite { key, value, flags, condition }))?;
    Ok(Reply::value(Value::Bool(changes.done)))
}

fn delete(key: String, ask: &Ask) -> Outcome {
    let recurse = ask.params.has("recurse");
    if recurse && ask.params.has("cas") {
        return Err(Problem::bad_request("Conflicting flags: cas&recurse\n"));
    }
    let command = if recurse {
        Command::DeleteTree { prefix: key }
    } else if key.is_empty() {
        return Err(Problem::bad_request("Missing key name"));
    } else {
        Command::DeleteKey { key, condition: condition(ask)? }
    };
    let changes = ask.shared.apply(command)?;
    Ok(Reply::value(Value::Bool(changes.done)))
}

fn condition(ask: &Ask) -> Result<KvCondition, Problem> {
    Ok(ask.params.number("cas")?.map_or(KvCondition::Always, KvCondition::Index))
}

/// One spelling for each key: no empty and no `.` segments, `..` taken back. A final slash is part of the key.
fn clean(raw: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        match (segment, segments.last()) {
            ("..", Some(last)) if *last != ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut key = segments.join("/");
    if raw.ends_with('/') && !key.is_empty() {
        key.push('/');
    }
    key
}

/// The status is Consul's, although the fault is the client's.
fn validate(key: &str) -> Result<(), Problem> {
    if key.starts_with(' ') || key.ends_with(' ') {
        return Err(Problem::server_error("invalid key name, leading/trailing spaces are not allowed"));
    }
    if key.split('/').any(|segment| segment == "..") {
        return Err(Problem::server_error("invalid key name, path traversal is not allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        for (raw, key) in
            [("a/b", "a/b"), ("a//b", "a/b"), ("a/./b/", "a/b/"), ("a/../b", "b"), ("", ""), ("../a", "../a")]
        {
            assert_eq!(clean(raw), key, "{raw}");
        }
        assert!(validate("../a").is_err());
        assert!(validate(" a").is_err());
        assert!(validate("a b/..c").is_ok());
    }
}
