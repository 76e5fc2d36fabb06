//! One JSON shape for the logs of all services, one line each, on standard error.
//!
//! `{"ts", "level", "service", "instance", "request_id", "trace_id", "msg", "fields"}`: the ids are there when the
//! line belongs to a request or an event. A search for one request id over all logs tells its whole story.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, registry};

use crate::clock::Stopwatch;
use crate::trace::{REQUEST_ID, Trace};

/// Characters of a path that are logged.
const PATH_CHARS_MAX: usize = 256;
/// Asked once a second by whoever checks the instance's health; logged only when somebody debugs.
pub(crate) const HEALTH_PATH: &str = "/healthz";

/// The logs of this process.
#[derive(Debug, Clone)]
pub struct Logs {
    service: &'static str,
    instance: Arc<OnceLock<String>>,
}

impl Logs {
    /// The logs of a service.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self { service, instance: Arc::default() }
    }

    /// Takes over everything this process logs.
    pub fn install(&self) {
        // The driver tells of each statement; only what goes wrong is of interest here.
        let levels = Targets::new().with_default(LevelFilter::INFO).with_target("sqlx", LevelFilter::WARN);
        let layer = JsonLines { logs: self.clone(), write: |line: &[u8]| std::io::stderr().write_all(line) };
        // A second one in the same process is refused, and the first goes on.
        let _ = registry().with(layer.with_filter(levels)).try_init();
    }

    /// From now on each line says which instance it is from.
    pub fn serving_at(&self, address: SocketAddr) {
        let _ = self.instance.set(address.to_string());
    }
}

struct JsonLines<W> {
    logs: Logs,
    write: W,
}

/// One line, its members in the order in which people read them.
#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    level: String,
    service: &'static str,
    instance: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    msg: Value,
    fields: Map<String, Value>,
}

/// What a span adds to the lines below it.
#[derive(Default)]
struct Ids {
    request_id: Option<String>,
    trace_id: Option<String>,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&[u8]) -> std::io::Result<()> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut text = |name| fields.0.remove(name).and_then(|value| value.as_str().map(str::to_owned));
        let ids = Ids { request_id: text("request_id"), trace_id: text("trace_id") };
        if let Some(span) = context.span(id).filter(|_| ids.request_id.is_some()) {
            span.extensions_mut().insert(ids);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Line {
            ts: now(),
            level: event.metadata().level().as_str().to_ascii_lowercase(),
            service: self.logs.service,
            instance: self.logs.instance.get(),
            request_id: None,
            trace_id: None,
            msg: fields.0.remove("message").unwrap_or_default(),
            fields: fields.0,
        };
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(ids) = span.extensions().get::<Ids>() {
                line.request_id.clone_from(&ids.request_id);
                line.trace_id.clone_from(&ids.trace_id);
                break;
            }
        }
        let Ok(line) = serde_json::to_string(&line) else { return };
        // Nobody is left to tell of a log that cannot be written.
        let _ = (self.write)(format!("{line}\n").as_bytes());
    }
}

fn now() -> String {
    let mut text = String::new();
    match SystemTime.format_time(&mut Writer::new(&mut text)) {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

/// The first layer of every service: gives the request its ids, answers with its id, and logs one line about it.
pub async fn told(mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers());
    let span = trace.span();
    let id = HeaderValue::from_str(trace.request_id());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let (method, path) = (request.method().clone(), shortened(request.uri().path()));
    request.extensions_mut().insert(trace);
    async {
        let watch = Stopwatch::start();
        let mut response = next.run(request).await;
        let (status, took_ms) = (response.status().as_u16(), watch.elapsed_ms());
        if path == HEALTH_PATH {
            tracing::debug!(%method, %path, status, took_ms, "answered");
        } else {
            tracing::info!(%method, %path, route, status, took_ms, "answered");
        }
        if let Ok(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}

fn shortened(path: &str) -> String {
    path.chars().take(PATH_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    fn lines(work: impl FnOnce(&Logs)) -> Vec<Value> {
        let written = Arc::new(Mutex::new(Vec::<u8>::new()));
        let logs = Logs::new("order-service");
        let write = {
            let written = written.clone();
            move |line: &[u8]| written.lock().unwrap().write_all(line)
        };
        let subscriber = registry().with(JsonLines { logs: logs.clone(), write });
        tracing::subscriber::with_default(subscriber, || work(&logs));
        let written = written.lock().unwrap();
        std::str::from_utf8(&written)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_says_who_when_what_and_for_which_request() {
        let lines = lines(|logs| {
            tracing::info!("starting");
            logs.serving_at("127.0.0.1:4001".parse().unwrap());
            let trace =
                Trace::resume(Some("r-1"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
            trace.span().in_scope(|| {
                let _inner = tracing::info_span!("inner", step = 1).entered();
                tracing::warn!(order = "o-1", status = 201_u64, took_ms = 1.5, "answered");
            });
        });
        assert_eq!((&lines[0]["instance"], &lines[0]["msg"]), (&Value::Null, &json!("starting")));
        assert_eq!(lines[0].get("request_id"), None);
        let line = &lines[1];
        assert_eq!((&line["level"], &line["service"]), (&json!("warn"), &json!("order-service")));
        assert_eq!((&line["instance"], &line["msg"]), (&json!("127.0.0.1:4001"), &json!("answered")));
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(line["fields"], json!({ "order": "o-1", "status": 201, "took_ms": 1.5 }));
        assert!(line["ts"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn a_line_is_one_line_whatever_is_logged() {
        let lines = lines(|_| tracing::info!(text = "a\nb\"c", "two\nlines"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["fields"]["text"], "a\nb\"c");
    }
}
