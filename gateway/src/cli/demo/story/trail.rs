//! Step 15: one request id, followed through the gateway's access log and the logs of all services,
//! the consumers of the events it caused among them.

use std::time::Duration;

use serde_json::Value;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::Narrator;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;

/// Longest wait for the last event to be handled and all of it to be written.
const TRAIL_WAIT: Duration = Duration::from_secs(30);
/// Microseconds of a day: a trail may cross midnight.
const DAY_US: i64 = 86_400_000_000;
/// Who must have told something of the request, and what.
const STATIONS: [(&str, &str); 6] = [
    ("gateway", "POST /api/orders → 202"),
    ("product-service", "answered PUT"),
    ("order-service", "answered POST /orders → 202"),
    ("payment-service", "event handled order.created"),
    ("order-service", "event handled payment.charged"),
    ("product-service", "event handled order.paid"),
];

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Since midnight.
    at_us: i64,
    who: String,
    what: String,
}

pub(super) async fn followed(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let seen = stage.shop.order(Some(&stage.customer()?.token)).await?.expect(202)?;
    let id = seen.expect_header("x-request-id")?;
    let rows = until(&format!("all logs to tell of request {id}"), TRAIL_WAIT, async || {
        let rows = rows(stage, &id);
        let missing: Vec<String> = STATIONS
            .iter()
            .filter(|(who, what)| !rows.iter().any(|row| row.who == *who && row.what.starts_with(what)))
            .map(|(who, what)| format!("{who}: {what}"))
            .collect();
        ensure(missing.is_empty(), || format!("{} lines, without {}", rows.len(), missing.join(", ")))?;
        Ok(rows)
    })
    .await?;
    narrator.fact(format!("request {id}:"));
    let began = rows.first().map_or(0, |row| row.at_us);
    for row in &rows {
        narrator.fact(format!("  {}", row.line(began)));
    }
    Ok(())
}

/// What all logs say of a request, in the order in which it happened.
fn rows(stage: &Stage, id: &str) -> Vec<Row> {
    let access = stage.access_lines(id);
    let mut rows: Vec<Row> = access.iter().filter_map(exchange).collect();
    for instance in &stage.instances {
        rows.extend(instance.lines_of(id).iter().filter_map(work));
    }
    rows.sort();
    rows
}

impl Row {
    fn line(&self, began_us: i64) -> String {
        let ms = (self.at_us - began_us).rem_euclid(DAY_US) as f64 / 1e3;
        format!("{ms:>8.1} ms  {:<16} {}", self.who, self.what)
    }
}

/// A line of the access log.
fn exchange(line: &Value) -> Option<Row> {
    let what = format!(
        "{} {} → {} ({} listener)",
        text(line, "method"),
        shortened(text(line, "path")),
        line.get("status").and_then(Value::as_u64)?,
        text(line, "listener")
    );
    Some(Row { at_us: at_us(line)?, who: "gateway".to_owned(), what })
}

/// A line of a service's log; that an event came by HTTP is the gateway's to tell.
fn work(line: &Value) -> Option<Row> {
    let fields = line.get("fields")?;
    let msg = text(line, "msg");
    let rest = if msg == "answered" {
        let path = text(fields, "path");
        if path.starts_with("/events/") {
            return None;
        }
        let status = fields.get("status").and_then(Value::as_u64)?;
        format!("{} {} → {status}", text(fields, "method"), shortened(path))
    } else {
        let kind_or_state = [text(fields, "kind"), text(fields, "state")].concat();
        if kind_or_state.is_empty() { return None } else { kind_or_state }
    };
    Some(Row { at_us: at_us(line)?, who: text(line, "service").to_owned(), what: format!("{msg} {rest}") })
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A path whose ids are cut short: they are long, and there is only one.
fn shortened(path: &str) -> String {
    const KEPT: usize = 16;
    match path.rsplit_once('/') {
        Some((start, last)) if last.len() > 2 * KEPT => {
            format!("{start}/…{}", last.get(last.len() - KEPT / 2..).unwrap_or_default())
        }
        Some(_) | None => path.to_owned(),
    }
}

/// Microseconds since midnight of an RFC 3339 time.
fn at_us(line: &Value) -> Option<i64> {
    let (_, time) = text(line, "ts").trim_end_matches('Z').split_once('T')?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let (seconds, fraction) = parts.next()?.split_once('.').unwrap_or_default();
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds.parse::<i64>().ok()?) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_of_different_digits_are_put_in_their_order() {
        let at = |ts: &str| at_us(&json!({ "ts": ts }));
        assert_eq!(at("2026-05-04T00:01:02.5Z"), Some(62_500_000));
        assert_eq!(at("2026-05-04T10:11:12.131415Z"), Some(36_672_131_415));
        assert!(at("2026-05-04T10:11:12.131Z") < at("2026-05-04T10:11:12.131415Z"));
        assert_eq!(at("yesterday"), None);
    }

    #[test]
    fn a_line_is_told_in_a_few_words() {
        let access = json!({ "ts": "2026-05-04T00:00:01.000Z", "listener": "internal", "method": "PUT",
            "path": "/reservations/0196a1b2-c3d4-7000-8000-123456789abc", "status": 201 });
        assert_eq!(
            exchange(&access).unwrap().line(0),
            "  1000.0 ms  gateway          PUT /reservations/…56789abc → 201 (internal listener)"
        );
        let handled = json!({ "ts": "2026-05-04T00:00:01.000Z", "service": "payment-service",
            "msg": "event handled", "fields": { "kind": "order.created", "id": "x" } });
        assert_eq!(work(&handled).unwrap().what, "event handled order.created");
        let inbound = json!({ "ts": "2026-05-04T00:00:01.000Z", "service": "payment-service", "msg": "answered",
            "fields": { "method": "POST", "path": "/events/payment-service", "status": 204 } });
        assert_eq!(work(&inbound), None);
    }
}
