//! What the listeners refuse before there is an exchange: counted, and written like any request.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::access_log::{SampledLog, escape};
use super::metrics::Metrics;
use super::recent::{Recent, Seen, Weight};
use crate::clock;
use crate::listener::{Refusal, RefusalSink};
use crate::proxy::fresh_id;

/// Takes the listeners' reports.
#[derive(Debug)]
pub struct Refusals {
    metrics: Arc<Metrics>,
    log: Option<Arc<SampledLog>>,
    recent: Arc<Recent>,
}

impl Refusals {
    /// Counts in `metrics`, writes to `log`, and shows `recent` ones.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, log: Option<Arc<SampledLog>>, recent: Arc<Recent>) -> Self {
        Self { metrics, log, recent }
    }
}

impl RefusalSink for Refusals {
    fn request_id(&self) -> String {
        fresh_id().as_str().to_owned()
    }

    fn refused(&self, refusal: &Refusal<'_>) {
        self.metrics.refused_early.with_label_values(&[refusal.listener, refusal.code]).inc();
        if let Some(log) = &self.log {
            log.lines.append(|line| write_line(line, refusal));
        }
        self.recent.offer(clock::now(), Weight::Failure, || seen(refusal));
    }
}

/// The same line for people who look; `None` if it is no JSON, which would be a fault of ours.
fn seen(refusal: &Refusal<'_>) -> Option<Seen> {
    let mut text = Vec::new();
    write_line(&mut text, refusal);
    let shown = String::from_utf8(text).ok().and_then(|text| RawValue::from_string(text).ok())?;
    Some(Seen {
        shown,
        id: refusal.request_id.map(Into::into),
        route: None,
        method: None,
        status: refusal.status.map_or(0, |status| status.as_u16()),
        took: Duration::ZERO,
    })
}

/// Writing into memory cannot fail.
fn write_line(out: &mut Vec<u8>, refusal: &Refusal<'_>) {
    let ts = clock::rfc3339(clock::since_epoch());
    let _ = write!(out, "{{\"ts\":\"{ts}\"");
    if let Some(id) = refusal.request_id {
        let _ = write!(out, ",\"id\":\"{id}\"");
    }
    let _ = write!(out, ",\"listener\":\"");
    escape(out, refusal.listener);
    let _ = write!(out, "\",\"client\":\"{}\"", refusal.client.ip());
    if let Some(status) = refusal.status {
        let _ = write!(out, ",\"status\":{}", status.as_u16());
    }
    let _ = write!(
        out,
        ",\"answered_by\":\"gateway\",\"code\":\"{}\",\"blame\":\"client\",\"reason\":\"",
        refusal.code
    );
    escape(out, &refusal.detail);
    let _ = write!(out, "\",\"attempts\":[]}}");
}
